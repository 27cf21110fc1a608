// @ts-check
/** An answer, or a problem, shown and said. */

import { has, percent, t } from "./i18n.js";
import { $, make } from "./dom.js";

/** @typedef {import("./api.js").Prediction} Prediction */
/** @typedef {{prediction: Prediction, provider: string, stages: string, milliseconds: number, alone: boolean}} Answer */

const bars = Array.from({ length: 10 }, (_, digit) =>
  make("li", {}, make("span", { textContent: String(digit) }), make("i"), make("b", { textContent: "" })),
);
$("bars").append(...bars);

/** @param {string} state  empty, reading, accepted, doubtful or problem */
function setState(state) {
  $("digit").dataset.state = $("badge").dataset.state = state;
  $("badge").textContent = t(`badge.${state}`);
}

/** Whether an answer to what is seen is still to come. @param {boolean} busy */
export function setBusy(busy) {
  $("answer").ariaBusy = String(busy);
}

/** The state before any digit. @param {boolean} unread  whether there is ink, but no digit yet */
export function showNothing(unread = false) {
  setBusy(false);
  setState("empty");
  $("digit").textContent = "–";
  $("confidence").textContent = "";
  $("meta").textContent = t(unread ? "meta.unread" : "meta.empty");
  showBars(Array(10).fill(0), -1);
  showGlyph(null);
  hideProblem();
  $("warnings").replaceChildren();
}

/** While an answer is on its way, the last one stays. @param {string} text */
export function showWaiting(text = "") {
  setBusy(true);
  hideProblem();
  if (text) $("meta").textContent = text;
  if ($("digit").dataset.state === "empty" || text) setState("reading");
}

/** @param {Answer} answer */
export function showAnswer({ prediction, provider, stages, milliseconds, alone }) {
  const { digit, confidence, accepted, warnings, model } = prediction;
  setBusy(false);
  hideProblem();
  setState(accepted ? "accepted" : "doubtful");
  $("digit").textContent = String(digit);
  $("confidence").textContent = t("confidence", { percent: percent(confidence) });
  $("meta").textContent = t(alone ? "meta.local" : "meta.server", {
    model: `${model.name}/${model.version}`,
    provider,
    time: Math.round(milliseconds),
    stages: describe(stages),
  });
  $("warnings").replaceChildren(
    ...warnings.map(({ code, detail }) =>
      make("li", { className: "notice" }, has(`warning.${code}`) ? t(`warning.${code}`) : detail)),
  );
  showBars(prediction.probabilities, digit);
  showGlyph(prediction.glyph);
  say(t("spoken", { digit, percent: percent(confidence), verdict: $("badge").textContent ?? "" }));
}

/** Server-Timing as words: "decode;dur=1.20, infer;dur=0.31". @param {string} stages */
function describe(stages) {
  return [...stages.matchAll(/(\w+);dur=([\d.]+)/g)]
    .map(([, stage, time]) => `${has(`stage.${stage}`) ? t(`stage.${stage}`) : stage} ${Number(time).toFixed(1)}`)
    .join(" · ");
}

/**
 * @param {import("./api.js").Problem} problem
 * @param {number} retrying  seconds until it is tried again, 0 for never
 * @param {boolean} isPicture  whether another picture may be chosen
 */
export function showProblem(problem, retrying, isPicture) {
  const known = has(`problem.${problem.code}`);
  setBusy(retrying > 0);
  setState("problem");
  $("digit").textContent = "?";
  $("confidence").textContent = $("meta").textContent = "";
  $("warnings").replaceChildren();
  showBars(Array(10).fill(0), -1);
  showGlyph(null);
  const title = [known ? t(`problem.${problem.code}`) : problem.message, retrying ? t("retry", { seconds: retrying }) : ""];
  $("problem-title").textContent = title.join(" ").trim();
  const detail = known && problem.message !== problem.code ? problem.message : "";
  const request = problem.requestId && t("request", { id: problem.requestId });
  $("problem-detail").textContent = [detail, request].filter(Boolean).join(" ");
  $("again").hidden = !problem.passes || retrying > 0;
  $("another").hidden = problem.passes || !isPicture;
  $("problem").hidden = false;
  say(title.join(" "));
}

const hideProblem = () => ($("problem").hidden = true);

/** @param {number[]} probabilities @param {number} digit */
function showBars(probabilities, digit) {
  bars.forEach((bar, place) => {
    bar.className = place === digit ? "best" : "";
    bar.style.setProperty("--share", String(probabilities[place]));
    bar.children[2].textContent = digit < 0 ? "" : percent(probabilities[place]);
  });
}

/** @param {string | null} glyph  data URL */
function showGlyph(glyph) {
  $("glyph").hidden = !glyph;
  $("no-glyph").hidden = !!glyph;
  if (glyph) /** @type {HTMLImageElement} */ ($("glyph")).src = glyph;
}

/** Tells screen readers. @param {string} text */
export function say(text) {
  $("live").textContent = text;
}
