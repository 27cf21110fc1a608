// @ts-check
/** "It is a …": tells the service what an answer should have been, where it keeps answers. */

import { Problem, post } from "./api.js";
import { $ } from "./dom.js";
import { describeProblem, t } from "./i18n.js";

/** @typedef {import("./answer.js").Answer} Answer */

const form = /** @type {HTMLFormElement} */ ($("correct"));
const field = /** @type {HTMLTextAreaElement} */ ($("truth"));

const byFinger = matchMedia("(pointer: coarse)");

/** @type {Answer | null} */
let shown = null;
let running = new AbortController(); // the correction of it that is under way
let said = () => t("correct.hint");

/** Offers to correct an answer that is kept. What was typed for it stays when it is shown again. @param {Answer} answer */
export function showCorrection(answer) {
  form.hidden = !answer.reading.id;
  if (answer === shown) return tell(said);
  shown = answer;
  running = new AbortController(); // one of another answer goes on
  field.value = answer.reading.text;
  field.enterKeyHint = beginsLine() ? "enter" : "send";
  fitRows();
  tell(() => t(answer.corrected ? "correct.done" : "correct.hint"));
}

/** Whether Enter begins a line of a number: the keyboards of phones have no Shift+Enter, and there is a button to send by. */
function beginsLine() {
  return byFinger.matches && (shown?.reading.text.length ?? 0) > 1;
}

/** Shows every line of the field. */
function fitRows() {
  field.rows = field.value.split("\n").length;
}

/** @param {() => string} words  in the language of the moment */
function tell(words) {
  said = words;
  $("corrected").textContent = said();
}

/** Sends a correction, in the place of one that is under way. @param {string | null} truth  digits and line breaks, or null for no digit */
async function send(truth) {
  const answer = shown;
  if (!answer?.reading.id) return;
  running.abort();
  running = new AbortController();
  const { signal } = running;
  let words = () => t("correct.done");
  try {
    await post("corrections", JSON.stringify({ id: answer.reading.id, truth }), { signal });
    answer.corrected = true;
  } catch (error) {
    if (signal.aborted) return;
    const { code, message } = Problem.from(error);
    words = () => (code === "not-found" ? t("correct.gone") : describeProblem(code, message));
  }
  if (shown !== answer) return;
  tell(words);
  $("live").textContent = words();
}

field.addEventListener("input", fitRows);
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || beginsLine()) return;
  event.preventDefault();
  form.requestSubmit();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const lines = field.value.split(/\s*\n\s*/).map((line) => line.replace(/\D/g, ""));
  const truth = lines.filter(Boolean).join("\n");
  if (truth) void send(truth);
  else tell(() => t("correct.digits"));
});
$("no-digit").addEventListener("click", () => void send(null));
