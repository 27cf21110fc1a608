// @ts-check
/** What is doubtful about a reading, in words. */

import { has, percent, t } from "./i18n.js";

/** @typedef {import("./api.js").Reading} Reading */

const DIGITS = ["unlike-a-digit", "low-confidence"]; // warnings of a digit that is not accepted, the graver first
const REFUSING = new Set([...DIGITS, "many-digits", "other-count"]);
const MOST = 3; // notices

/**
 * Why a reading is not accepted, or how sure it is, and what else is to be said of it.
 * @param {Reading} reading
 * @returns {{reason: string, notices: string[]}}
 */
export function describeDoubts(reading) {
  const sure = t(reading.accepted ? "sure" : "sure.only", { percent: percent(reading.confidence) });
  const refusals = [...reading.warnings.filter(({ code }) => REFUSING.has(code)).map(describe), ...describeDigits(reading)];
  const mild = [...reading.warnings, ...reading.digits.flatMap(({ warnings }) => warnings)].filter(({ code }) => !REFUSING.has(code));
  const reason = reading.accepted ? sure : (refusals.shift() ?? sure);
  return { reason, notices: [...new Set([...refusals, ...mild.map(describe)])].slice(0, MOST) };
}

/** What is the matter with each digit that is not accepted. @param {Reading} reading @returns {string[]} */
function describeDigits({ digits }) {
  return digits.flatMap(({ digit, probabilities, warnings }, place) => {
    const code = DIGITS.find((each) => warnings.some((warning) => warning.code === each));
    if (!code) return [];
    const other = probabilities.indexOf(Math.max(...probabilities.filter((_, each) => each !== digit)));
    return [t(digits.length > 1 ? `why.${code}.place` : `why.${code}`, { digit, other, place: place + 1 })];
  });
}

/** @param {import("./api.js").Warning} warning */
function describe({ code, value, detail }) {
  return has(`warning.${code}`) ? t(`warning.${code}`, { value }) : detail;
}
