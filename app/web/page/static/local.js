// @ts-check
/** Reading in this browser: onnxruntime-web runs the one graph from a picture to its digits, both from this service. */

import { get } from "./api.js";
import { groupLines } from "./lines.js";

/**
 * @typedef {import("./api.js").Reading} Reading
 * @typedef {import("./api.js").Digit} Digit
 * @typedef {import("./api.js").ModelInfo} ModelInfo
 */

const GLYPH = 84; // pixels: the side of a digit's own picture
const ALTERNATIVES = 5;

export class LocalReader {
  /** @param {any} ort @param {any} session @param {ModelInfo} model */
  constructor(ort, session, model) {
    this.ort = ort;
    this.session = session;
    this.model = model;
  }

  /**
   * @param {string} runtime  folder of onnxruntime-web
   * @param {ModelInfo} model  what is being served
   * @throws {import("./api.js").Problem}
   */
  static async load(runtime, model) {
    const graph = await (await get("model/file?edition=reader")).arrayBuffer();
    const folder = new URL(`${runtime}/`, document.baseURI).href;
    const ort = await import(`${folder}ort.wasm.bundle.min.mjs`);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { wasm: `${folder}ort-wasm-simd-threaded.wasm` };
    return new LocalReader(ort, await ort.InferenceSession.create(new Uint8Array(graph), { executionProviders: ["wasm"] }), model);
  }

  /** All digits of a picture, up to 64, or null where there is none. @param {HTMLCanvasElement} picture  opaque @returns {Promise<Reading | null>} */
  async read(picture) {
    const { width, height } = picture;
    const pixels = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d")).getImageData(0, 0, width, height).data;
    const rgb = new Uint8Array(3 * width * height);
    for (let from = 0, to = 0; from < pixels.length; from += 4) for (let colour = 0; colour < 3; colour++) rgb[to++] = pixels[from + colour];
    const { boxes, probabilities, energy, accepted, count } = await this.session.run({ picture: new this.ort.Tensor("uint8", rgb, [height, width, 3]) });
    const found = Array.from({ length: count.data[0] }, (_, place) =>
      this.#digit(picture, [...boxes.data.slice(4 * place, 4 * place + 4)], [...probabilities.data.slice(10 * place, 10 * place + 10)], energy.data[place], !!accepted.data[place]));
    return found.length ? compose(found, this.model) : null;
  }

  /**
   * @param {HTMLCanvasElement} picture
   * @param {number[]} area  left, top, width and height
   * @param {number[]} probabilities
   * @param {number} energy
   * @param {boolean} accepted
   * @returns {Digit}
   */
  #digit(picture, [x, y, width, height], probabilities, energy, accepted) {
    const confidence = Math.max(...probabilities);
    const { threshold, least_energy } = this.model.metadata;
    const warnings = [
      ...(confidence < threshold ? [{ code: "low-confidence", value: confidence, detail: "" }] : []),
      ...(energy < least_energy ? [{ code: "unlike-a-digit", value: energy, detail: "" }] : []),
    ];
    const box = { x, y, width, height };
    return { digit: probabilities.indexOf(confidence), confidence, probabilities, accepted, warnings, box, line: 0, glyph: cut(picture, box) };
  }
}

/** Digits as a reading, in lines. It is as sure as all its digits are. @param {Digit[]} found @param {ModelInfo} model @returns {Reading} */
function compose(found, model) {
  const order = groupLines(found.map(({ box }) => box));
  const digits = order.flatMap((members, line) => members.map((place) => ({ ...found[place], line })));
  let first = 0;
  const lines = order.map((members) => ({ digits: members.map(() => first++) }));
  const write = (/** @type {number[]} */ labels) => lines.map((line) => line.digits.map((place) => labels[place]).join("")).join("\n");
  const labels = digits.map(({ digit }) => digit);
  const confidence = digits.reduce((product, each) => product * each.confidence, 1);
  const alternatives = digits.flatMap(({ digit, probabilities }, place) => probabilities.map((probability, label) => ({
    text: write(labels.with(place, label)),
    confidence: label === digit ? 0 : (confidence * probability) / probabilities[digit],
  }))).sort((one, other) => other.confidence - one.confidence).slice(0, ALTERNATIVES);
  const accepted = digits.every((each) => each.accepted);
  return { text: write(labels), confidence, accepted, lines, digits, alternatives, warnings: [], model: { name: model.name, version: model.version } };
}

/** A part of a picture, as a data URL. @param {HTMLCanvasElement} picture @param {import("./api.js").Box} box */
function cut(picture, { x, y, width, height }) {
  const canvas = Object.assign(document.createElement("canvas"), { width: GLYPH, height: GLYPH });
  const side = 1.2 * Math.max(width, height); // with some room around it
  canvas.getContext("2d")?.drawImage(picture, x + (width - side) / 2, y + (height - side) / 2, side, side, 0, 0, GLYPH, GLYPH);
  return canvas.toDataURL();
}
