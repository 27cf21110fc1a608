// @ts-check
/** The last call, written down for curl, Python and JavaScript, to read and to copy. */

import { hasKey } from "./api.js";
import { $, tabs } from "./dom.js";
import { t } from "./i18n.js";

/**
 * @typedef {{path: string, drawing?: string, names?: string[]}} Call  a drawing as a data URL, or names of files
 * @typedef {"curl" | "python" | "javascript"} Tongue
 */

/** A seven of 48 × 48 pixels, sent until something is drawn. */
const SEVEN =
  "iVBORw0KGgoAAAANSUhEUgAAADAAAAAwAQAAAAB/ecQqAAAAXklEQVR42p2QsQ2AMAwEL2lgCxiFzViPORADUKZAOYqkIYSG6mTrdZY/CEDkB3ZATxQzrEZgBMxD0khINZkKQsFZEB+yo3dha5eok76S1mnuWPLy/cNVnMnWGX72cgNy/iOUekmpDgAAAABJRU5ErkJggg==";
const COPIED = 2000; // milliseconds that a button says so

/** @type {Call} */
let call = { path: "read/canvas", drawing: `data:image/png;base64,${SEVEN}` };
/** @type {Tongue} */
let tongue = "curl";

/** @param {Call} made */
export function noteCall(made) {
  call = made;
  $("code-note").dataset.t = "code.note";
  $("code-note").textContent = t("code.note");
  showCode();
}

function showCode() {
  const code = /** @type {HTMLElement} */ ($("code").firstElementChild);
  code.textContent = shorten(write(call, tongue, hasKey()));
  $("code").setAttribute("aria-labelledby", `tab-${tongue}`);
}

/** Lets a button copy a text, and say so. @param {string} id  of the button @param {() => string} text  to copy */
export function setUpCopying(id, text) {
  $(id).addEventListener("click", async () => {
    const copying = navigator.clipboard?.writeText(text()) ?? Promise.reject(); // plain HTTP has none
    const done = await copying.then(() => "copied", () => "copy.failed");
    $(id).textContent = $("live").textContent = t(done);
    setTimeout(() => ($(id).textContent = t("copy")), COPIED);
  });
}

/** Shows a call before there was one, and lets it be copied and told in other tongues. */
export function setUpCode() {
  setUpCopying("copy", () => write(call, tongue, hasKey()));
  tabs(/** @type {Element} */ ($("call").querySelector('[role="tablist"]')), (tab) => {
    tongue = /** @type {Tongue} */ (tab.id.slice(4));
    showCode();
  });
  showCode();
}

/**
 * @param {Call} call
 * @param {Tongue} tongue
 * @param {boolean} withKey  whether the service asks for one
 */
function write(call, tongue, withKey) {
  const url = new URL(call.path, document.baseURI).href;
  return { curl, python, javascript }[tongue](call, url, withKey);
}

/** What is shown of code: a drawing's data is cut. @param {string} code */
const shorten = (code) => code.replace(/(base64,.{24})[\w+/=]+/, "$1…");

const field = (/** @type {Call} */ call) => (call.path.includes("batch") ? "files" : "file");
const inShell = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''")}'`;
const inForm = (/** @type {string} */ name) => `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

/** @param {Call} call @param {string} url @param {boolean} withKey */
function curl({ drawing, names = [], ...call }, url, withKey) {
  const key = withKey ? ['-H "X-API-Key: $NUMERAL_KEY"'] : [];
  const body = drawing
    ? ["-H 'Content-Type: application/json'", `-d '{"image": "${drawing}"}'`]
    : names.map((name) => `-F ${inShell(`${field(call)}=@${inForm(name)}`)}`);
  return [`curl ${inShell(url)}`, ...key, ...body].join(" \\\n  ");
}

/** @param {Call} call @param {string} url @param {boolean} withKey */
function python({ drawing, names = [], ...call }, url, withKey) {
  const key = withKey ? ', headers={"X-API-Key": key}' : "";
  const batch = field(call) === "files";
  const list = names.map((name) => JSON.stringify(name)).join(", ");
  const [before, body] = drawing
    ? [`import httpx\n\ndrawing = "${drawing}"\n`, 'json={"image": drawing}']
    : batch
      ? [`from pathlib import Path\n\nimport httpx\n\nnames = [${list}]\n`, 'files=[("files", Path(name).read_bytes()) for name in names]']
      : ["from pathlib import Path\n\nimport httpx\n\n", `files={"file": Path(${list}).read_bytes()}`];
  const answer = batch ? 'for result in response.json()["results"]:\n    print(result.get("text"))' : 'print(response.json()["text"])';
  return `${before}response = httpx.post("${url}", ${body}${key})\nresponse.raise_for_status()\n${answer}`;
}

/** @param {Call} call @param {string} url @param {boolean} withKey */
function javascript({ drawing, ...call }, url, withKey) {
  const batch = field(call) === "files";
  const type = drawing ? ['"Content-Type": "application/json"'] : [];
  const headers = [...type, ...(withKey ? ['"X-API-Key": key'] : [])];
  const before = drawing
    ? `const body = JSON.stringify({ image: "${drawing}" }); // canvas.toDataURL()`
    : `const body = new FormData(); // input is your <input type="file"${batch ? " multiple" : ""}>\n` +
      (batch ? 'for (const file of input.files) body.append("files", file);' : 'body.append("file", input.files[0]);');
  const options = ['  method: "POST",', headers.length ? `  headers: { ${headers.join(", ")} },` : "", "  body,"].filter(Boolean);
  const answer = batch ? "answer.results.map((result) => result.text)" : "answer.text";
  return `${before}\nconst response = await fetch("${url}", {\n${options.join("\n")}\n});\nconst answer = await response.json();\nconsole.log(response.ok ? ${answer} : answer.detail);`;
}
