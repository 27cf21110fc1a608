// @ts-check
/** An answer, or a problem, shown and said. */

import { setUpCopying } from "./code.js";
import { showCorrection } from "./correcting.js";
import { showDigits } from "./digits.js";
import { describeDoubts } from "./doubts.js";
import { $, input, make } from "./dom.js";
import { currentLanguage, describeProblem, has, percent, t } from "./i18n.js";

/** @typedef {import("./api.js").Reading} Reading */
/** @typedef {{reading: Reading, provider: string, stages: string, milliseconds: number, alone: boolean, corrected?: boolean}} Answer
 *    corrected: whether somebody told what it should have been */

const LIKELY = 0.01; // confidence from which on another text is shown,
const OTHERS = 3; // and how many at most

let text = "";

/** @param {string} state  empty, reading, accepted, doubtful or problem */
function setState(state) {
  $("answer").dataset.state = state;
  $("badge").textContent = t(`badge.${state}`);
}

/** Whether an answer to what is seen is still to come. @param {boolean} busy */
export function setBusy(busy) {
  $("answer").ariaBusy = String(busy);
}

/** The state before any digit. @param {boolean} unread  whether there is ink, but no digit yet */
export function showNothing(unread) {
  clear("empty");
  $("invitation").hidden = false;
  $("reason").textContent = unread ? t("unread") : "";
}

/** While an answer is on its way, the last one stays. @param {string} words */
export function showWaiting(words) {
  setBusy(true);
  $("problem").hidden = true;
  if (words) $("reason").textContent = words;
  if (words || ["empty", "problem"].includes($("answer").dataset.state ?? "")) setState("reading");
}

/** @param {Answer} answer */
export function showAnswer(answer) {
  const { reading, provider, stages, milliseconds, alone } = answer;
  clear(reading.accepted ? "accepted" : "doubtful");
  text = reading.text;
  $("text").hidden = false;
  showDigits(reading);
  const { reason, notices } = describeDoubts(reading);
  $("reason").textContent = reason;
  $("warnings").replaceChildren(...(alone ? [t("local.alone"), ...notices] : notices).map((notice) => make("li", { className: "notice" }, notice)));
  showOthers(reading.alternatives.filter(({ confidence }) => confidence >= LIKELY).slice(0, OTHERS));
  showCorrection(answer);
  $("meta").textContent = t(alone ? "meta.local" : "meta.server", {
    model: `${reading.model.name}/${reading.model.version}`,
    provider,
    time: Math.round(milliseconds),
    stages: describe(stages),
    percent: percent(reading.confidence),
  });
  input("copy-text").disabled = false;
  say(t("spoken", { text: text.replaceAll("\n", ", "), reason, verdict: $("badge").textContent ?? "" }));
}

/** @param {Reading["alternatives"]} others */
function showOthers(others) {
  $("alternatives").hidden = others.length === 0;
  $("alternatives").replaceChildren(t("others"), ...others.map(({ text: other, confidence }) =>
    make("span", {}, make("b", { textContent: other.replaceAll("\n", " / ") }), ` ${percent(confidence)}`)));
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
 * @param {boolean} wasAsked  whether there is a question that may be asked again
 */
export function showProblem(problem, retrying, isPicture, wasAsked) {
  clear("problem");
  setBusy(retrying > 0);
  const title = [describeProblem(problem.code, problem.message), retrying ? t("retry", { seconds: retrying }) : ""].join(" ").trim();
  $("problem-title").textContent = title;
  const isMore = currentLanguage() === "en" && problem.message !== problem.code && !title.includes(problem.message);
  const request = problem.requestId && t("request", { id: problem.requestId });
  $("problem-detail").textContent = [isMore ? problem.message : "", request].filter(Boolean).join(" ");
  $("again").hidden = !problem.passes || retrying > 0 || !wasAsked;
  $("another").hidden = problem.passes || !isPicture;
  $("problem").hidden = false;
  say(title);
}

/** Nothing but a state. @param {string} state */
function clear(state) {
  setBusy(false);
  setState(state);
  text = "";
  for (const id of ["problem", "text", "invitation", "alternatives", "correct"]) $(id).hidden = true;
  $("text").replaceChildren();
  $("warnings").replaceChildren();
  $("reason").textContent = "";
  input("copy-text").disabled = true;
}

/** Tells screen readers. @param {string} words */
export function say(words) {
  $("live").textContent = words;
}

setUpCopying("copy-text", () => text);
