// @ts-check
/** The last call as code, to read and to copy. */

import { say } from "./answer.js";
import { hasKey } from "./api.js";
import { shorten, write } from "./code.js";
import { $, tabs } from "./dom.js";
import { t } from "./i18n.js";

const COPIED = 2000; // milliseconds that the button says so

/** @type {import("./code.js").Call} */
let call = { path: "predict/canvas", drawing: "data:image/png;base64,iVBORw0KGgo…" };
/** @type {import("./code.js").Tongue} */
let tongue = "curl";

/** @param {import("./code.js").Call} made */
export function noteCall(made) {
  call = made;
  showCode();
}

function showCode() {
  const code = /** @type {HTMLElement} */ ($("code").firstElementChild);
  code.textContent = shorten(write(call, tongue, hasKey()));
  $("code").setAttribute("aria-labelledby", `tab-${tongue}`);
}

async function copy() {
  const done = await navigator.clipboard.writeText(write(call, tongue, hasKey())).then(() => "copied", () => "copy.failed");
  $("copy").textContent = t(done);
  say(t(done));
  setTimeout(() => ($("copy").textContent = t("copy")), COPIED);
}

export function setUpCode() {
  $("copy").addEventListener("click", copy);
  tabs(/** @type {Element} */ ($("call").querySelector('[role="tablist"]')), (tab) => {
    tongue = /** @type {import("./code.js").Tongue} */ (tab.id.slice(4));
    showCode();
  });
  showCode();
}
