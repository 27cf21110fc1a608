// @ts-check
/**
 * A drawing's ink -> the glyph that the model reads: 28×28, the longer side of the ink 20 pixels, its centre of mass in the
 * middle, thin pens widened; as the service does it (app/reading/find/glyph.py), for drawings, whose ink is known and all one digit.
 */

export const SIZE = 28;
const BOX = 20; // the longer side of the ink, as NIST made MNIST
const CENTRE = 14.5; // MNIST's centre of mass, counted from the left edge: the middle of pixel 14
const MIN_WIDTH = 0.1; // stroke width over the longer side; thinner pens are widened to it
const MIN_SIDE = 80, MAX_SIDE = 160; // pixels between which strokes are widened and placed
const HALF = 127, VISIBLE = 25; // of 255

/** @typedef {{width: number, height: number, data: Float32Array}} Levels  ink in 0..255, row by row */

/**
 * The glyph of a drawing, or null where there is no ink.
 * @param {Uint8ClampedArray | Uint8Array} ink  in 0..255, row by row
 * @param {number} width
 * @returns {Uint8Array | null}  28×28
 */
export function placeGlyph(ink, width) {
  const drawing = { width, height: ink.length / width, data: Float32Array.from(ink) };
  const digit = cut(drawing, HALF);
  if (!digit) return null;
  const levels = toPenSize(digit);
  const pen = Math.round((MIN_WIDTH - strokeWidth(digit)) * Math.max(levels.width, levels.height)) + 1;
  const inked = cut(pen > 1 ? thicken(levels, pen) : levels, VISIBLE);
  return inked && place(inked);
}

/**
 * The part of the levels that holds all above a threshold.
 * @param {Levels} levels
 * @param {number} threshold
 * @returns {Levels | null}
 */
function cut(levels, threshold) {
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  for (let y = 0, i = 0; y < levels.height; y++)
    for (let x = 0; x < levels.width; x++, i++)
      if (levels.data[i] > threshold) {
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = y;
      }
  if (right < 0) return null;
  return make(right - left + 1, bottom - top + 1, (x, y) => levels.data[(y + top) * levels.width + x + left]);
}

/**
 * @param {number} width
 * @param {number} height
 * @param {(x: number, y: number) => number} value
 * @returns {Levels}
 */
function make(width, height, value) {
  const data = new Float32Array(width * height);
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) data[i] = value(x, y);
  return { width, height, data };
}

/**
 * The value at a pixel, 0 beyond the border.
 * @param {Levels} levels
 * @param {number} x
 * @param {number} y
 */
function at(levels, x, y) {
  return x >= 0 && y >= 0 && x < levels.width && y < levels.height ? levels.data[y * levels.width + x] : 0;
}

/**
 * Mean width of the strokes over the longer side: twice the area over the outline, whose length Crofton's mean gives.
 * @param {Levels} digit
 */
function strokeWidth(digit) {
  let [area, edges] = [0, 0];
  const full = (/** @type {number} */ x, /** @type {number} */ y) => at(digit, x, y) > HALF;
  for (let y = 0; y <= digit.height; y++)
    for (let x = 0; x <= digit.width; x++) {
      area += Number(full(x, y));
      edges += Number(full(x, y) !== full(x - 1, y)) + Number(full(x, y) !== full(x, y - 1));
    }
  return (2 * area) / ((edges * Math.PI) / 4) / Math.max(digit.width, digit.height);
}

/**
 * Brought to a longer side between MIN_SIDE and MAX_SIDE, bilinearly.
 * @param {Levels} levels
 * @returns {Levels}
 */
function toPenSize(levels) {
  const side = Math.max(levels.width, levels.height);
  const factor = Math.min(Math.max(side, MIN_SIDE), MAX_SIDE) / side;
  if (factor === 1) return levels;
  const width = Math.max(1, Math.round(levels.width * factor)), height = Math.max(1, Math.round(levels.height * factor));
  const source = (/** @type {number} */ place, /** @type {number} */ from, /** @type {number} */ to) =>
    Math.min(Math.max(((place + 0.5) * from) / to - 0.5, 0), from - 1);
  return make(width, height, (x, y) => {
    const u = source(x, levels.width, width), v = source(y, levels.height, height);
    const [i, j] = [Math.floor(u), Math.floor(v)];
    const row = (/** @type {number} */ k) => at(levels, i, k) * (1 - u + i) + at(levels, i + 1, k) * (u - i);
    return row(j) * (1 - v + j) + row(j + 1) * (v - j);
  });
}

/**
 * Strokes widened by a round pen of so many pixels: the largest value under it.
 * @param {Levels} levels
 * @param {number} pen
 * @returns {Levels}
 */
function thicken(levels, pen) {
  const reach = Math.floor(pen / 2);
  /** @type {[number, number][]} */
  const under = [];
  for (let row = 0; row < pen; row++) {
    const dy = row - reach;
    const half = reach && Math.round(reach * Math.sqrt(Math.max(0, 1 - (dy * dy) / (reach * reach))));
    for (let dx = -half; dx <= Math.min(half, pen - 1 - reach); dx++) under.push([dx, dy]);
  }
  return make(levels.width + 2 * pen, levels.height + 2 * pen, (x, y) => {
    let most = 0;
    for (const [dx, dy] of under) most = Math.max(most, at(levels, x - pen + dx, y - pen + dy));
    return most;
  });
}

/**
 * Reduced to a longer side of 20 and moved to the middle, in one averaging of areas.
 * @param {Levels} ink
 * @returns {Uint8Array}
 */
function place(ink) {
  const side = Math.max(SIZE, Math.round((Math.max(ink.width, ink.height) * SIZE) / BOX));
  const middle = (CENTRE * side) / SIZE - 0.5;
  const centre = centreOfMass(ink);
  const left = Math.min(Math.max(Math.round(middle - centre.x), 0), side - ink.width);
  const top = Math.min(Math.max(Math.round(middle - centre.y), 0), side - ink.height);
  const step = side / SIZE;
  const glyph = new Float32Array(SIZE * SIZE);
  for (let y = 0; y < ink.height; y++)
    for (let x = 0; x < ink.width; x++)
      for (const [column, across] of shares(x + left, step))
        for (const [row, down] of shares(y + top, step))
          glyph[row * SIZE + column] += (ink.data[y * ink.width + x] * across * down) / (step * step);
  const full = glyph.reduce((most, value) => Math.max(most, value), VISIBLE);
  return Uint8Array.from(glyph, (value) => Math.round((value * 255) / full));
}

/** @param {Levels} ink */
function centreOfMass(ink) {
  let [sum, x, y] = [0, 0, 0];
  ink.data.forEach((value, i) => {
    sum += value;
    x += value * (i % ink.width);
    y += value * Math.floor(i / ink.width);
  });
  return { x: x / sum, y: y / sum };
}

/**
 * Which cells of a coarser raster a pixel lies in, and how much of it.
 * @param {number} pixel
 * @param {number} step  pixels a cell
 * @returns {[number, number][]}
 */
function shares(pixel, step) {
  const cell = Math.min(Math.floor(pixel / step), SIZE - 1);
  const inside = Math.min(1, (cell + 1) * step - pixel);
  return inside >= 1 || cell === SIZE - 1 ? [[cell, Math.min(1, inside)]] : [[cell, inside], [cell + 1, 1 - inside]];
}
