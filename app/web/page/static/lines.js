// @ts-check
/** Boxes -> lines of digits in reading order, as the service groups them (app/reading/numbers/reading_order.py). */

/** @typedef {import("./api.js").Box} Box */
/** @typedef {{x: number, y: number, height: number, index: number}} Place  the centre of a box, and its height */
/** @typedef {{x: number, y: number, slope: number}} Way */

const LEVEL = 0.55; // of the higher box: a box whose centre is no further from where its line goes on belongs to it
const STEEPEST = 0.4; // slope of a line
const FEW = 3; // boxes; fewer have no slope
const RECENT = 4; // boxes at the end of a line, which say where it goes on

/** The lines from top to bottom, each with the indices of its boxes from left to right. @param {Box[]} boxes @returns {number[][]} */
export function groupLines(boxes) {
  const places = boxes.map(({ x, y, width, height }, index) => ({ x: x + width / 2, y: y + height / 2, height, index }));
  /** @type {Place[][]} */
  const lines = [];
  for (const place of places.sort((one, other) => one.x - other.x)) {
    const distances = lines.map((line) => distance(line, place));
    const least = Math.min(...distances);
    if (least <= LEVEL) lines[distances.indexOf(least)].push(place);
    else lines.push([place]);
  }
  const ways = lines.map(wayOf);
  const slope = median(ways.map((way) => way.slope));
  const depth = (/** @type {number} */ line) => ways[line].y - slope * ways[line].x;
  return [...lines.keys()].sort((one, other) => depth(one) - depth(other)).map((line) => lines[line].map(({ index }) => index));
}

/** How far from the way of a line a box lies, over the higher of it and the last box. @param {Place[]} line @param {Place} place */
function distance(line, place) {
  const last = line[line.length - 1];
  const way = wayOf(line.slice(-RECENT));
  const expected = way.y + way.slope * (place.x - way.x);
  return Math.min(Math.abs(place.y - expected), Math.abs(place.y - last.y)) / Math.max(place.height, last.height);
}

/** The middle of some boxes, and their slope by least squares. @param {Place[]} places @returns {Way} */
function wayOf(places) {
  const mean = (/** @type {(place: Place) => number} */ value) => places.reduce((sum, place) => sum + value(place), 0) / places.length;
  const [x, y] = [mean((place) => place.x), mean((place) => place.y)];
  if (places.length < FEW) return { x, y, slope: 0 };
  const wide = mean((place) => (place.x - x) ** 2);
  const slope = mean((place) => (place.x - x) * (place.y - y)) / Math.max(wide, 1e-6);
  return { x, y, slope: Math.min(Math.max(slope, -STEEPEST), STEEPEST) };
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
