// @ts-check
/** The model in this browser: onnxruntime-web and the edition of the model that takes glyphs, both from this service. */

import { get } from "./api.js";
import { SIZE } from "./glyph.js";

/** @typedef {{probabilities: number[], energy: number}} Scores */

export class LocalModel {
  /** @param {any} ort @param {any} session @param {string} version */
  constructor(ort, session, version) {
    this.ort = ort;
    this.session = session;
    this.version = version;
  }

  /**
   * @param {string} runtime  folder of onnxruntime-web
   * @param {string} version  of the model that is being served
   * @throws {import("./api.js").Problem}
   */
  static async load(runtime, version) {
    const model = await (await get("model/file?edition=uint8")).arrayBuffer();
    const folder = new URL(`${runtime}/`, document.baseURI).href;
    const ort = await import(`${folder}ort.wasm.bundle.min.mjs`);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { wasm: `${folder}ort-wasm-simd-threaded.wasm` };
    return new LocalModel(ort, await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] }), version);
  }

  /**
   * @param {Uint8Array} glyph  28×28
   * @returns {Promise<Scores>}
   */
  async read(glyph) {
    const { probabilities, energy } = await this.session.run({ glyph: new this.ort.Tensor("uint8", glyph, [1, SIZE, SIZE]) });
    return { probabilities: [...probabilities.data], energy: energy.data[0] };
  }
}

/**
 * The pixels of a glyph that the service sent as a PNG.
 * @param {string} url
 * @returns {Promise<Uint8Array>}
 */
export async function readGlyph(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(image, 0, 0);
  return Uint8Array.from(context.getImageData(0, 0, SIZE, SIZE).data.filter((_, place) => place % 4 === 0));
}

/** A glyph as a data URL. @param {Uint8Array} glyph */
export function glyphUrl(glyph) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = context.createImageData(SIZE, SIZE);
  glyph.forEach((level, place) => pixels.data.set([level, level, level, 255], 4 * place));
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}
