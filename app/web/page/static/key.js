// @ts-check
/** The dialog that asks for an API key. */

import { keepKey } from "./api.js";
import { $, input } from "./dom.js";

const dialog = /** @type {HTMLDialogElement} */ ($("key-dialog"));

/** @param {() => void} then  what to do once there is a key */
export function askForKey(then) {
  if (dialog.open) return;
  dialog.returnValue = "";
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
