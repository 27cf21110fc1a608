// @ts-check
/** The digits of an answer as text, each of which explains itself when it is touched or has the focus. */

import { $, make } from "./dom.js";
import { percent, t } from "./i18n.js";

/** @typedef {import("./api.js").Reading} Reading */

const bars = Array.from({ length: 10 }, (_, digit) =>
  make("li", {}, make("span", { textContent: String(digit) }), make("i"), make("b", { textContent: "" })),
);
$("bars").append(...bars);

/** @type {Reading["digits"]} */
let digits = [];
/** @type {HTMLElement[]} */
let options = [];
/** @type {(place: number) => void} */
let picked = () => {};

/** @param {(place: number) => void} tell  told which digit is explained */
export function setUpDigits(tell) {
  picked = tell;
  $("text").addEventListener("keydown", (event) => {
    const place = options.indexOf(/** @type {HTMLElement} */ (event.target));
    const to = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: options.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    options[to]?.focus();
  });
}

/** Shows the digits of a reading, in its lines. @param {Reading} reading */
export function showDigits(reading) {
  digits = reading.digits;
  options = digits.map(({ digit, confidence, accepted }, place) => {
    const option = make("span", { role: "option", className: accepted ? "" : "doubtful", textContent: digit, tabIndex: -1 });
    option.ariaLabel = t(accepted ? "digit.sure" : "digit.doubtful", { digit, percent: percent(confidence) });
    for (const event of ["click", "focus"]) option.addEventListener(event, () => explain(place));
    return option;
  });
  $("text").replaceChildren(...reading.lines.map((line) => make("div", { role: "group" }, ...line.digits.map((place) => options[place]))));
  $("text").style.setProperty("--across", String(Math.max(...reading.lines.map((line) => line.digits.length))));
  $("text").style.setProperty("--down", String(reading.lines.length));
  pick(Math.max(0, digits.findIndex(({ accepted }) => !accepted))); // the first that is in doubt
}

/** Explains a digit, as if it had been touched. @param {number} place */
export function explain(place) {
  pick(place);
  /** @type {HTMLDetailsElement} */ ($("how")).open = true;
  picked(place);
}

/** @param {number} place */
function pick(place) {
  options.forEach((option, each) => {
    option.ariaSelected = String(each === place);
    option.tabIndex = each === place ? 0 : -1;
  });
  const { digit, probabilities, glyph = null } = digits[place];
  $("which").textContent = digits.length > 1 ? t("which", { place: place + 1, all: digits.length, digit }) : t("bars");
  bars.forEach((bar, each) => {
    bar.className = each === digit ? "best" : "";
    bar.style.setProperty("--share", String(probabilities[each]));
    bar.children[2].textContent = percent(probabilities[each]);
  });
  $("glyph").hidden = !glyph;
  $("no-glyph").hidden = !!glyph;
  if (glyph) /** @type {HTMLImageElement} */ ($("glyph")).src = glyph;
}
