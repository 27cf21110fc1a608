// @ts-check
/** The picture that was read, and boxes on it: where each digit is, what it was read as, and whether that is in doubt. */

import { $, make } from "./dom.js";

/** @typedef {import("./api.js").Digit} Digit */

const CROWDED = 24; // digits from which on their labels are small
const HIGH = 0.12; // of the picture: boxes so near its upper edge have their label below

/**
 * Marks digits on a picture, instead of those that were marked there.
 * @param {HTMLElement} layer  as large as the picture
 * @param {Digit[]} digits
 * @param {{width: number, height: number}} size  of the picture that the boxes are in
 * @param {(place: number) => void} chosen  told which one was touched, where the layer takes touches
 */
export function showBoxes(layer, digits, { width, height }, chosen) {
  layer.classList.toggle("crowded", digits.length >= CROWDED);
  layer.replaceChildren(...digits.map(({ digit, accepted, box }, place) => {
    const mark = make("span", { className: `${accepted ? "" : "doubtful"} ${box.y < HIGH * height ? "high" : ""}` }, make("b", { textContent: accepted ? digit : `${digit}?` }));
    const share = { left: box.x / width, top: box.y / height, width: box.width / width, height: box.height / height };
    for (const [side, value] of Object.entries(share)) mark.style.setProperty(side, `${100 * value}%`);
    return mark;
  }));
  layer.onclick = ({ clientX, clientY }) => chosen(nearest(layer, clientX, clientY));
}

/**
 * The place of the digit that a touch means: what can be touched of small digits is larger than their boxes, and may overlap.
 * @param {HTMLElement} layer @param {number} x @param {number} y  pixels of the window
 */
function nearest(layer, x, y) {
  const marks = [...layer.children];
  const touched = document.elementsFromPoint(x, y).map((each) => each.closest("span"));
  const distances = marks.map((mark) => {
    const { left, top, width, height } = mark.getBoundingClientRect();
    return touched.includes(/** @type {HTMLSpanElement} */ (mark)) ? Math.hypot(left + width / 2 - x, top + height / 2 - y) : Infinity;
  });
  return distances.indexOf(Math.min(...distances));
}

/** Sets one of the boxes apart. @param {HTMLElement} layer @param {number} place */
export function pickBox(layer, place) {
  [...layer.children].forEach((mark, each) => mark.classList.toggle("picked", each === place));
}

/** Shows a picture. @param {string} preview  its address, or nothing where the browser cannot show it */
export async function showShot(preview) {
  const image = /** @type {HTMLImageElement} */ ($("shot-image"));
  $("invite").hidden = !!preview;
  $("shot").hidden = !preview;
  $("shot-boxes").replaceChildren();
  if (!preview) return;
  image.src = preview;
  await image.decode().catch(() => {}); // boxes need its size
}

/** Marks where the digits were found. @param {Digit[]} digits @param {(place: number) => void} chosen */
export function markShot(digits, chosen) {
  const { naturalWidth: width, naturalHeight: height } = /** @type {HTMLImageElement} */ ($("shot-image"));
  showBoxes($("shot-boxes"), width ? digits : [], { width, height }, chosen);
}
