// @ts-check
/** Files that people choose -> what is sent: large photos scaled down, the rest as it is. */

const LONGEST = 1600; // pixels; the service itself works on no more than 1024
const LIGHT = 1_000_000; // bytes up to which a picture of that size is sent untouched
const QUALITY = 0.9; // of the JPEG

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
  const factor = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * factor);
  canvas.height = Math.round(bitmap.height * factor);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const kind = ["image/png", "image/gif", "image/webp"].includes(file.type) ? "png" : "jpeg"; // they may be transparent
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, `image/${kind}`, QUALITY));
  return new File([/** @type {Blob} */ (blob)], `${file.name.replace(/\.\w+$/, "")}.${kind === "png" ? "png" : "jpg"}`, { type: `image/${kind}` });
}
