// @ts-check
/** The picture that was read, and where in it the digit was found. */

import { $ } from "./dom.js";

/** @param {string} preview  its address, or nothing where the browser cannot show it */
export async function showShot(preview) {
  const image = /** @type {HTMLImageElement} */ ($("shot-image"));
  $("invite").hidden = !!preview;
  $("shot").hidden = !preview;
  showBox(null);
  if (!preview) return;
  image.src = preview;
  await image.decode().catch(() => {}); // a box needs its size
}

/** Marks where the digit was found. @param {import("./api.js").Box | null} box  in pixels of the picture */
export function showBox(box) {
  const image = /** @type {HTMLImageElement} */ ($("shot-image"));
  $("shot-box").hidden = !box || !image.naturalWidth;
  if (!box) return;
  const share = { left: box.x / image.naturalWidth, top: box.y / image.naturalHeight,
    width: box.width / image.naturalWidth, height: box.height / image.naturalHeight };
  for (const [side, value] of Object.entries(share)) $("shot-box").style.setProperty(side, `${100 * value}%`);
}
