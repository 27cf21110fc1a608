// Canvases, files and URIs -> pictures that a Client sends.

/** A file that React Native reads itself while it sends it: its bytes never pass through JavaScript. */
export interface NativeFile {
  uri: string;
  name: string;
  type: string;
}

/** What is sent, and by which factor it was made smaller; boxes of answers are in pixels of the original. */
export interface Picture {
  data: Blob | ArrayBuffer | Uint8Array | NativeFile;
  scale: number;
}

/** A picture as fromCanvas, fromFile and fromUri give it, or just its bytes. */
export type Source = Picture | Blob | ArrayBuffer | Uint8Array;

export interface ShrinkOptions {
  /** Longest side that is sent, in pixels; 2,048 unless given. The service itself looks at 1,024. */
  mostSide?: number;
}

/** An HTMLCanvasElement, an OffscreenCanvas, or what has the same methods. */
export interface Canvas {
  toBlob?(take: (blob: Blob | null) => void, type?: string): void;
  convertToBlob?(options?: { type?: string }): Promise<Blob>;
}

const MOST_SIDE = 2048;
const SMALL = 512 * 1024; // bytes that are sent as they are
const SHRINKABLE = /^image\/(jpeg|png|heic|heif)$/; // others may have several frames
const TYPES: Record<string, string> = { png: "image/png", webp: "image/webp", heic: "image/heic", gif: "image/gif" };

/** A drawing, as PNG: it keeps its transparency. */
export async function fromCanvas(canvas: Canvas): Promise<Picture> {
  if (canvas.convertToBlob) {
    return { data: await canvas.convertToBlob({ type: "image/png" }), scale: 1 };
  }
  if (!canvas.toBlob) {
    throw new TypeError("This canvas has neither toBlob nor convertToBlob.");
  }
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob?.(resolve, "image/png"));
  if (!blob) {
    throw new TypeError("The canvas gives no picture: its width or height is 0, or it is too large.");
  }
  return { data: blob, scale: 1 };
}

/** A file of an <input>, or any Blob. Large photos are made smaller where there is a canvas to do so. */
export async function fromFile(file: Blob, options: ShrinkOptions = {}): Promise<Picture> {
  const asItIs = { data: file, scale: 1 };
  if (file.size <= SMALL || !SHRINKABLE.test(file.type) || typeof createImageBitmap !== "function") {
    return asItIs;
  }
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return asItIs; // the service reads formats that the browser does not
  }
  try {
    const scale = (options.mostSide ?? MOST_SIDE) / Math.max(bitmap.width, bitmap.height);
    const smaller = scale < 1 ? await draw(bitmap, scale, file.type === "image/png" ? "image/png" : "image/jpeg") : null;
    return smaller ? { data: smaller, scale } : asItIs;
  } finally {
    bitmap.close();
  }
}

/** What a URI names: https:, data: or blob:; in React Native and Expo also file: and content:, as pickers and cameras give. */
export async function fromUri(uri: string, options: ShrinkOptions & { name?: string; type?: string; signal?: AbortSignal } = {}): Promise<Picture> {
  if (isReactNative() && !/^(https?|data):/i.test(uri)) {
    const name = options.name ?? (uri.split(/[?#]/)[0]?.split("/").pop() || "photo.jpg");
    const type = options.type ?? TYPES[name.split(".").pop()?.toLowerCase() ?? ""] ?? "image/jpeg";
    return { data: { uri, name, type }, scale: 1 };
  }
  const response = await fetch(uri, options.signal ? { signal: options.signal } : {});
  if (!response.ok) {
    throw new TypeError(`${uri} cannot be fetched: ${response.status}`);
  }
  return fromFile(await response.blob(), options);
}

/** Any source as a picture. */
export function toPicture(source: Source): Picture {
  return "scale" in source ? source : { data: source, scale: 1 };
}

export function isNative(data: Picture["data"]): data is NativeFile {
  return "uri" in data;
}

function isReactNative(): boolean {
  return typeof navigator !== "undefined" && (navigator as { product?: string }).product === "ReactNative";
}

async function draw(bitmap: ImageBitmap, scale: number, type: string): Promise<Blob | null> {
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const isOffscreen = typeof OffscreenCanvas === "function";
  const canvas = isOffscreen ? new OffscreenCanvas(width, height) : Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d") as CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null;
  if (!context) {
    return null;
  }
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return "convertToBlob" in canvas
    ? canvas.convertToBlob({ type, quality: 0.92 })
    : new Promise((resolve) => canvas.toBlob(resolve, type, 0.92));
}
