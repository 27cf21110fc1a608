// @ts-check
/** Many pictures -> a table, and the table as CSV. */

import { post } from "./api.js";
import { $, input, make } from "./dom.js";
import { describeDoubts } from "./doubts.js";
import { describeProblem, percent, t } from "./i18n.js";
import { prepare } from "./picture.js";

const AT_ONCE = 8; // pictures a request: far below the service's limits, and the table grows as one watches

const MOST = 64; // that the service takes in one request

/** @typedef {{name: string, preview: string, result: any}} Row  result: a Reading or a problem, as the service sent it */

/** @type {Row[]} */
let rows = [];
let hint = () => t("batch.hint");

/**
 * Has pictures read, some at a time, and fills the table as they come.
 * @param {File[]} files
 * @param {AbortSignal} signal  ends it: others take their place
 * @param {(names: string[]) => void} sent  told which files one call would hold
 * @throws {import("./api.js").Problem}
 */
export async function readMany(files, signal, sent) {
  for (const { preview } of rows) URL.revokeObjectURL(preview);
  rows = [];
  sent(files.slice(0, MOST).map(({ name }) => name));
  $("rows").replaceChildren();
  $("batch-scroll").hidden = false;
  const progress = /** @type {HTMLProgressElement} */ ($("batch-progress"));
  progress.hidden = false;
  progress.value = 0;
  try {
    for (let start = 0; start < files.length; start += AT_ONCE) {
      const pictures = await Promise.all(files.slice(start, start + AT_ONCE).map(prepare));
      if (signal.aborted) return;
      const form = new FormData();
      for (const { file } of pictures) form.append("files", file, file.name);
      const { body } = await post("read/batch", form, { signal });
      if (signal.aborted) return;
      pictures.forEach(({ preview }, place) => addRow({ name: files[start + place].name, preview, result: body.results[place] }));
      const done = rows.length;
      progress.value = done / files.length;
      sayHint(() => t("batch.progress", { done, all: files.length }));
    }
  } finally {
    if (!signal.aborted) {
      progress.hidden = true;
      input("csv").disabled = rows.length === 0;
    }
  }
}

/** Says how it goes, in the place of the hint. @param {() => string} words  in the language of the moment */
export function sayHint(words) {
  hint = words;
  $("batch-hint").textContent = $("live").textContent = hint();
}

/** Says hint and table in the language of the moment. */
export function describeBatch() {
  $("batch-hint").textContent = hint();
  $("rows").replaceChildren(...rows.map(toLine));
}

/** @param {Row} row */
function addRow(row) {
  $("rows").append(toLine(row)); // throws where the result has another shape
  rows.push(row);
}

/** A line of the table. The roles are said, because a narrow screen shows the rows as cards. @param {Row} row */
function toLine({ name, preview, result }) {
  const read = "text" in result;
  return make("tr", { role: "row", className: read && result.accepted ? "" : "doubtful" },
    make("td", { role: "cell" }, preview ? make("img", { src: preview, alt: "" }) : ""),
    make("th", { role: "rowheader", scope: "row", textContent: name }),
    make("td", { role: "cell", className: "number", textContent: read ? result.text : t("batch.none") }),
    make("td", { role: "cell", textContent: read ? percent(result.confidence) : t("batch.none") }),
    make("td", { role: "cell", textContent: remarks(result) }));
}

/** @param {any} result */
function remarks(result) {
  if (!("text" in result)) return describeProblem(result.code, result.detail);
  const { reason, notices } = describeDoubts(result);
  return [...(result.accepted ? [] : [reason]), ...notices].join(" ") || t("batch.ok");
}

/** The table as CSV, with a mark by which spreadsheets know UTF-8. @returns {Blob} */
export function toCsv() {
  const head = ["file", "text", "confidence", "accepted", "warnings", "problem"];
  const lines = rows.map(({ name, result }) => [name, result.text?.replaceAll("\n", "/"), result.confidence, result.accepted, codes(result), result.code]);
  const csv = [head, ...lines].map((line) => line.map(quote).join(",")).join("\r\n");
  return new Blob(["\ufeff", csv, "\r\n"], { type: "text/csv;charset=utf-8" });
}

/** The codes of all warnings of a reading, each once. @param {any} result */
function codes({ warnings = [], digits = [] }) {
  const all = [...warnings, ...digits.flatMap((/** @type {any} */ digit) => digit.warnings)];
  return [...new Set(all.map(({ code }) => code))].join(" ");
}

/** A CSV field (RFC 4180) that no spreadsheet takes for a formula. @param {unknown} value */
function quote(value) {
  const text = String(value ?? "").replace(/^[=+\-@\t]/, "'$&");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
