// @ts-check
/** Many pictures -> a table, and the table as CSV. */

import { Problem, post } from "./api.js";
import { $, input, make } from "./dom.js";
import { describeDoubts } from "./doubts.js";
import { describeProblem, percent, t } from "./i18n.js";
import { prepare } from "./picture.js";

const AT_ONCE = 8; // pictures a request: far below the service's limits, and the table grows as one watches

const MOST = 64; // that the service takes in one request

/** @typedef {{name: string, result: any}} Row  a Reading or a problem, as the service sent it */

/** @type {Row[]} */
let rows = [];

/**
 * Has pictures read, some at a time, and fills the table as they come.
 * @param {File[]} files
 * @param {(names: string[]) => void} sent  told which files one call would hold
 * @throws {Problem}
 */
export async function readMany(files, sent) {
  rows = [];
  sent(files.slice(0, MOST).map(({ name }) => name));
  for (const image of $("rows").querySelectorAll("img")) URL.revokeObjectURL(image.src);
  $("rows").replaceChildren();
  $("batch-scroll").hidden = false;
  const progress = /** @type {HTMLProgressElement} */ ($("batch-progress"));
  progress.hidden = false;
  progress.value = 0;
  try {
    for (let start = 0; start < files.length; start += AT_ONCE) {
      const pictures = await Promise.all(files.slice(start, start + AT_ONCE).map(prepare));
      const form = new FormData();
      for (const { file } of pictures) form.append("files", file, file.name);
      const { body } = await post("read/batch", form);
      pictures.forEach((picture, place) => addRow(files[start + place].name, picture.preview, body.results[place]));
      progress.value = rows.length / files.length;
      $("batch-hint").textContent = $("live").textContent = t("batch.progress", { done: rows.length, all: files.length });
    }
  } finally {
    progress.hidden = true;
    input("csv").disabled = rows.length === 0;
  }
}

/** @param {string} name @param {string} preview @param {any} result */
function addRow(name, preview, result) {
  rows.push({ name, result });
  const read = "text" in result;
  $("rows").append(
    // The roles are said, because a narrow screen shows the rows as cards.
    make("tr", { role: "row", className: read && result.accepted ? "" : "doubtful" },
      make("td", { role: "cell" }, preview ? make("img", { src: preview, alt: "" }) : ""),
      make("th", { role: "rowheader", scope: "row", textContent: name }),
      make("td", { role: "cell", className: "number", textContent: read ? result.text : t("batch.none") }),
      make("td", { role: "cell", textContent: read ? percent(result.confidence) : t("batch.none") }),
      make("td", { role: "cell", textContent: remarks(result) })),
  );
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
