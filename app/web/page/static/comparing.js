// @ts-check
/** The switch that lets this browser read, too: beside the service on its glyphs, and alone where the service is gone. */

import { Problem, get } from "./api.js";
import { $, input } from "./dom.js";
import { placeGlyph } from "./glyph.js";
import { percent, t } from "./i18n.js";
import { LocalModel, glyphUrl, readGlyph } from "./local.js";
import { SIDE } from "./pad.js";

/** @typedef {import("./answer.js").Answer} Answer */

const { runtime = "" } = document.documentElement.dataset;

/** @type {import("./api.js").ModelInfo | null} */
let model = null;
/** @type {LocalModel | null} */
let local = null;

/** Where the service's model runs, or nothing where that is not known. */
export const provider = () => model?.provider ?? "";

/** What is being served; where that cannot be told, answers go without the provider's name. */
export async function learnModel() {
  model = await get("model").then((response) => response.json(), () => null);
}

/** A drawing's answer from this browser, or null where the switch is off. @param {() => Uint8ClampedArray} ink @returns {Promise<Answer | null>} */
export async function readAlone(ink) {
  if (!local) return null;
  const started = performance.now();
  const glyph = /** @type {Uint8Array} */ (placeGlyph(ink(), SIDE));
  const { probabilities, energy } = await local.read(glyph);
  const confidence = Math.max(...probabilities);
  const limits = model?.metadata ?? { threshold: 0, least_energy: -Infinity };
  const warnings = [
    ...(confidence < limits.threshold ? [{ code: "low-confidence", value: confidence, detail: "" }] : []),
    ...(energy < limits.least_energy ? [{ code: "unlike-a-digit", value: energy, detail: "" }] : []),
  ];
  const digit = probabilities.indexOf(confidence);
  const name = { name: model?.name ?? "digits", version: local.version };
  const prediction = { digit, confidence, probabilities, accepted: warnings.length === 0, warnings, box: null, model: name, glyph: glyphUrl(glyph) };
  return { prediction, provider: "", stages: "", milliseconds: performance.now() - started, alone: true };
}

/**
 * Shows whether this browser agrees with an answer: on the service's glyph and, of a drawing, on the page's own.
 * @param {Answer} answer
 * @param {(() => Uint8ClampedArray) | undefined} ink  a drawing's
 * @param {() => boolean} wanted  whether the answer is still the one that is seen
 */
export async function compare({ prediction, alone }, ink, wanted) {
  const state = $("local-state");
  delete state.dataset.digit;
  if (!local) return;
  if (alone) return void (state.textContent = t("local.alone"));
  if (local.version !== prediction.model.version) await load();
  if (!local || !prediction.glyph) return;
  const { probabilities } = await local.read(await readGlyph(prediction.glyph));
  const own = ink && (await readAlone(ink))?.prediction;
  if (!wanted()) return;
  const digit = probabilities.indexOf(Math.max(...probabilities));
  const apart = (/** @type {number[]} */ values) => Math.max(...values.map((value, place) => Math.abs(value - prediction.probabilities[place])));
  state.textContent = t(digit === prediction.digit ? "local.agrees" : "local.differs", { digit, percent: percent(probabilities[digit]) });
  if (own) state.append(" ", t("local.own", { digit: own.digit, percent: percent(own.confidence) }));
  if (own) Object.assign(state.dataset, { own: own.digit, ownApart: apart(own.probabilities) });
  Object.assign(state.dataset, { digit, apart: apart(probabilities) });
}

async function load() {
  const state = $("local-state");
  state.textContent = t("local.loading");
  try {
    model = await (await get("model")).json();
    local = await LocalModel.load(runtime, model?.version ?? "");
    state.textContent = t("local.ready");
  } catch (error) {
    local = null;
    input("local").checked = false;
    const missing = error instanceof Problem && error.status === 404;
    state.textContent = missing ? t("local.no-edition") : t("local.failed", { detail: /** @type {Error} */ (error).message });
  }
}

/** Says what the switch does, in the language of the moment. */
export function describeSwitch() {
  input("local").disabled = !runtime;
  $("local-state").textContent = t(runtime ? (local ? "local.ready" : "local.off") : "local.absent");
}

/** Lets the switch work. @param {() => void} turnedOn  what to do once the model is loaded */
export function setUpSwitch(turnedOn) {
  input("local").addEventListener("change", async () => {
    local = null;
    if (input("local").checked) await load();
    else describeSwitch();
    if (local) turnedOn();
  });
}
