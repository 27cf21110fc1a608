// @ts-check
/** The dialog that asks for an API key. */

import { keepKey } from "./api.js";
import { $, input } from "./dom.js";
import { t } from "./i18n.js";

const dialog = /** @type {HTMLDialogElement} */ ($("key-dialog"));

/** @param {boolean} wrong  whether the service did not know the last key @param {() => void} then  what to do once there is a key */
export function askForKey(wrong, then) {
  if (dialog.open) return;
  dialog.returnValue = "";
  $("key-wrong").hidden = !wrong;
  $("key-wrong").textContent = wrong ? t("problem.unknown-key") : "";
  dialog.addEventListener("close", () => {
    const key = input("key").value.trim();
    input("key").value = "";
    if (dialog.returnValue !== "use" || !key) return;
    keepKey(key);
    then();
  }, { once: true });
  dialog.showModal();
}

$("key-cancel").addEventListener("click", () => dialog.close());
