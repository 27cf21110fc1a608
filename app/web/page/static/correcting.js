// @ts-check
/** "It is a …": tells the service what an answer should have been, where it keeps answers. */

import { Problem, post } from "./api.js";
import { $, input } from "./dom.js";
import { describeProblem, t } from "./i18n.js";

/** @typedef {import("./answer.js").Answer} Answer */

/** @type {Answer | null} */
let shown = null;

/** Offers to correct an answer that is kept. @param {Answer} answer */
export function showCorrection(answer) {
  shown = answer;
  $("correct").hidden = !answer.reading.id;
  const lines = answer.reading.lines.length;
  Object.assign(input("truth"), { value: answer.reading.text, rows: lines });
  tell(answer.corrected ? "correct.done" : "correct.hint");
}

/** @param {string} key */
function tell(key) {
  $("corrected").textContent = t(key);
}

/** @param {string | null} truth  digits and line breaks, or null for no digit */
async function send(truth) {
  const answer = shown;
  if (!answer?.reading.id) return;
  try {
    await post("corrections", JSON.stringify({ id: answer.reading.id, truth }));
    answer.corrected = true;
    if (shown === answer) tell("correct.done");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (shown === answer) $("corrected").textContent = error.code === "not-found" ? t("correct.gone") : describeProblem(error.code, error.message);
  }
  $("live").textContent = $("corrected").textContent;
}

$("correct").addEventListener("submit", (event) => {
  event.preventDefault();
  const lines = input("truth").value.split(/\s*\n\s*/).map((line) => line.replace(/\D/g, ""));
  const truth = lines.filter(Boolean).join("\n");
  if (truth) void send(truth);
  else tell("correct.digits");
});
$("no-digit").addEventListener("click", () => void send(null));
