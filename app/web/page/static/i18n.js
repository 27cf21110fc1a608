// @ts-check
/** The page's words in English and Chinese. What stands in index.html is English already. */

import { en } from "./en.js";
import { zh } from "./zh.js";

/** @typedef {"en" | "zh"} Language */

const CHOICE = "numeral-language";
const ATTRIBUTES = { t: "textContent", tLabel: "ariaLabel", tAlt: "alt" };

/** @type {Record<string, string>} */
const words = { ...en };
/** @type {Record<string, string>} */
const chinese = zh; // loaded with the page, so that the switch works when the server is gone
/** @type {Language} */
let language = "en";

export const currentLanguage = () => language;

/** The visitor's choice, or the browser's language. @returns {Language} */
export function preferredLanguage() {
  const wanted = localStorage.getItem(CHOICE) ?? navigator.language;
  return wanted.startsWith("zh") ? "zh" : "en";
}

/** Learns the English words of the document, then says them all in a language. @param {Language} chosen */
export function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : "en";
  for (const [name, property] of Object.entries(ATTRIBUTES)) {
    const attribute = name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`);
    for (const element of /** @type {NodeListOf<any>} */ (document.querySelectorAll(`[data-${attribute}]`))) {
      const key = element.dataset[name];
      words[key] ??= element[property];
      element[property] = t(key);
    }
  }
}

/** @param {Language} chosen */
export function choose(chosen) {
  localStorage.setItem(CHOICE, chosen);
  speak(chosen);
}

/** Whether there are words for a key. @param {string} key */
export const has = (key) => key in words;

/** Why there is no answer. A problem that the page has no words for has the service's, which are English. @param {string} code @param {string} detail */
export function describeProblem(code, detail) {
  if (has(`problem.${code}`)) return t(`problem.${code}`, { detail });
  return language === "zh" ? t("problem.other", { code }) : detail;
}

/**
 * The words for a key, with {names} filled in.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const text = (language === "zh" && chinese[key]) || words[key] || key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** A share as a percentage, never rounded up: no model is 100 % sure. @param {number} share */
export function percent(share) {
  const tenths = Math.min(Math.floor(share * 1000 + 1e-9), 999) / 1000;
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(tenths);
}
