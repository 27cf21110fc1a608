// @ts-check
/** The last answers, to look at again. */

import { $, make } from "./dom.js";
import { percent, t } from "./i18n.js";

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {{call: import("./code.js").Call, body: FormData | string, preview: string, about: symbol,
 *   strokes: import("./pad.js").Point[][] | null, open: () => Promise<HTMLCanvasElement | null>}} Question
 *    about: which drawing or picture it is of; strokes: a drawing's; open: gives its pixels, opaque, where this browser can open it */
/** @typedef {{answer: Answer, question: Question}} Entry */

const KEPT = 12;

/** @type {Entry[]} */
let past = [];
/** @type {(entry: Entry) => void} */
let chosen = () => {};

/** @param {(entry: Entry) => void} show  told which entry is to be seen again */
export function setUpPast(show) {
  chosen = show;
}

/** One entry a drawing or picture: a drawing's later strokes replace its earlier answers. @param {Entry} entry */
export function remember(entry) {
  past = [entry, ...past.filter(({ question }) => question.about !== entry.question.about)].slice(0, KEPT);
  $("past-empty").hidden = true;
  showPast();
}

/** Lists the last answers, in the language of the moment. */
export function showPast() {
  $("history").replaceChildren(...past.map((entry) => make("li", {}, button(entry))));
}

/** @param {Entry} entry */
function button(entry) {
  const { text, confidence, accepted } = entry.answer.reading;
  const line = text.replaceAll("\n", " ");
  const values = { text: line, percent: percent(confidence) };
  const element = make("button", { type: "button", className: accepted ? "" : "doubtful", ariaLabel: t("history.show", values) },
    entry.question.preview ? make("img", { src: entry.question.preview, alt: "" }) : "", make("b", { textContent: line }));
  element.addEventListener("click", () => chosen(entry));
  return element;
}
