// @ts-check
/** The last call, written down for curl, Python and JavaScript. */

/**
 * @typedef {{path: string, drawing?: string, names?: string[]}} Call  a drawing as a data URL, or names of files
 * @typedef {"curl" | "python" | "javascript"} Tongue
 */

/**
 * @param {Call} call
 * @param {Tongue} tongue
 * @param {boolean} withKey  whether the service asks for one
 */
export function write(call, tongue, withKey) {
  const url = new URL(call.path, document.baseURI).href;
  return { curl, python, javascript }[tongue](call, url, withKey);
}

/** What is shown of code: a drawing's data is cut. @param {string} code */
export const shorten = (code) => code.replace(/(base64,.{24})[\w+/=]+/, "$1…");

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
  const answer = batch ? 'for result in response.json()["results"]:\n    print(result.get("digit"))' : 'print(response.json()["digit"])';
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
  const answer = batch ? "answer.results.map((result) => result.digit)" : "answer.digit";
  return `${before}\nconst response = await fetch("${url}", {\n${options.join("\n")}\n});\nconst answer = await response.json();\nconsole.log(response.ok ? ${answer} : answer.detail);`;
}
