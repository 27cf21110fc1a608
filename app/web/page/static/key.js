// @ts-check
/** The dialog that asks for an API key. */

import { findStranger, keepKey } from "./api.js";
import { $, input } from "./dom.js";
import { t } from "./i18n.js";

const dialog = /** @type {HTMLDialogElement} */ ($("key-dialog"));

/** @type {(() => void)[]} */
let waiting = [];

/** @param {boolean} wrong  whether the service did not know the last key @param {() => void} then  what to do once there is a key */
export function askForKey(wrong, then) {
  waiting.push(then);
  if (dialog.open) return;
  dialog.returnValue = "";
  complain(wrong ? t("problem.unknown-key") : "");
  dialog.showModal();
}

/** Says what is wrong with a key. @param {string} words */
function complain(words) {
  $("key-wrong").hidden = !words;
  $("key-wrong").textContent = words;
}

dialog.addEventListener("submit", (event) => {
  const found = findStranger(input("key").value.trim());
  if (!found) return;
  event.preventDefault();
  complain(t("key.strange", { found }));
  input("key").select(); // what is pasted next takes its place
});
dialog.addEventListener("close", () => {
  const [key, asked] = [input("key").value.trim(), waiting];
  input("key").value = "";
  waiting = [];
  if (dialog.returnValue !== "use" || !key) return;
  keepKey(key);
  for (const then of asked) then();
});
$("key-cancel").addEventListener("click", () => dialog.close());
