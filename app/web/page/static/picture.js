// @ts-check
/** Files that people choose -> what is sent: large photos scaled down, the rest as it is. */

const LONGEST = 1600; // pixels; the service itself works on no more than 1024
const LIGHT = 1_000_000; // bytes up to which a picture of that size is sent untouched
const QUALITY = 0.9; // of the JPEG

const READ_AT = 1024; // pixels of the longer side, as the service reads pictures
const PAINTED = 128; // alpha from which a pixel is painted, and the level of paint from which it is light

/** @typedef {{file: File, preview: string}} Picture  preview is empty where the browser cannot show it */

/**
 * @param {File} file
 * @returns {Promise<Picture>}
 */
export async function prepare(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return { file, preview: "" }; // HEIC, say: the service may know it
  const large = Math.max(bitmap.width, bitmap.height) > LONGEST || file.size > LIGHT;
  const sent = large ? await scaleDown(bitmap, file) : file;
  bitmap.close();
  return { file: sent, preview: URL.createObjectURL(sent) };
}

/**
 * @param {ImageBitmap} bitmap  upright
 * @param {File} file
 */
async function scaleDown(bitmap, file) {
  const canvas = Object.assign(document.createElement("canvas"), fit(bitmap, LONGEST));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const kind = file.type === "image/jpeg" ? "jpeg" : "png"; // others may be transparent, which in a JPEG becomes black
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, `image/${kind}`, QUALITY));
  return new File([/** @type {Blob} */ (blob)], `${file.name.replace(/\.\w+$/, "")}.${kind === "png" ? "png" : "jpg"}`, { type: `image/${kind}` });
}

/** The size of a picture whose longer side is reduced to so many pixels; the shorter one keeps one, however narrow. @param {ImageBitmap} bitmap @param {number} longest */
function fit({ width, height }, longest) {
  const factor = Math.min(1, longest / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/** A picture as it is read in the browser: opaque, upright and reduced; null where the browser cannot open it. @param {File} file */
export async function openPicture(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const { width, height } = fit(bitmap, READ_AT);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  context.globalCompositeOperation = "destination-over"; // under what is there
  context.fillStyle = isLight(context.getImageData(0, 0, width, height).data) ? "#000" : "#fff";
  context.fillRect(0, 0, width, height);
  return canvas;
}

/** Whether the paint of a picture is light, so that it shows on black. @param {Uint8ClampedArray} pixels  red, green, blue and alpha */
function isLight(pixels) {
  let [sum, count] = [0, 0];
  for (let at = 0; at < pixels.length; at += 4) {
    if (pixels[at + 3] < PAINTED) continue;
    sum += 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2];
    count++;
  }
  return sum > PAINTED * count;
}
