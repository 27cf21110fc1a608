// @ts-check
/** The page: what is drawn, dropped, pasted or chosen is sent, and what comes back is shown. */

import { say, setBusy, showAnswer, showNothing, showProblem, showWaiting } from "./answer.js";
import { Problem, get, hasKey, keepKey, post } from "./api.js";
import { readMany, toCsv } from "./batch.js";
import { shorten, write } from "./code.js";
import { $, input, make, tabs } from "./dom.js";
import { placeGlyph } from "./glyph.js";
import { choose, currentLanguage, percent, preferredLanguage, speak, t } from "./i18n.js";
import { LocalModel, glyphUrl, readGlyph } from "./local.js";
import { Pad, SIDE } from "./pad.js";
import { prepare } from "./picture.js";

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {{call: import("./code.js").Call, body: FormData | string, preview: string, about: symbol, ink?: Uint8ClampedArray}} Question
 *    about: which drawing or picture it is of; ink: a drawing's, SIDE × SIDE in 0..255 */

const KEPT = 12; // answers in the history
const TRIES = 3; // after refusals that name a time to wait
const LONGEST_WAIT = 5; // seconds that are waited for another try
const EXAMPLES = ["seven.jpg", "five.png", "two-digits.png", "letter.png"];

const { runtime = "", assets = "" } = document.documentElement.dataset;
const pad = new Pad(/** @type {HTMLCanvasElement} */ ($("pad")));

/** @type {import("./api.js").ModelInfo | null} */
let model = null;
/** @type {LocalModel | null} */
let local = null;
/** @type {Question | null} */
let question = null;
/** @type {Answer | null} */
let answer = null;
/** @type {Problem | null} */
let problem = null;
/** @type {import("./code.js").Call} */
let call = { path: "predict/canvas", drawing: "data:image/png;base64,iVBORw0KGgo…" };
/** @type {import("./code.js").Tongue} */
let tongue = "curl";
/** @type {{answer: Answer, question: Question}[]} */
let past = [];
let drawn = Symbol("drawing"); // another once the pad was cleared
let running = new AbortController(); // the request whose answer is wanted; older ones are dropped

/** Asks the service, again where it names a time to wait; the newest question alone is answered. @param {Question} asked */
async function ask(asked) {
  const { signal } = forget();
  question = asked;
  showWaiting(asked.ink ? "" : t("sending", { name: asked.call.names?.[0] ?? "" }));
  noteCall(asked.call);
  for (let tries = 1; ; tries++) {
    try {
      const { body, stages, milliseconds } = await post(asked.call.path, asked.body, { signal, progress: asked.ink ? undefined : showProgress });
      if (signal.aborted) return;
      const provider = model?.provider ?? "";
      return settle({ prediction: body, provider, stages, milliseconds, alone: false }, asked);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      if (error.code === "unreachable" && local && asked.ink) return settle(await readAlone(local, asked.ink), asked);
      const wait = tries <= TRIES && error.retryAfter && error.retryAfter <= LONGEST_WAIT ? error.retryAfter : 0;
      fail(error, wait);
      if (error.code === "unauthorized") askForKey();
      if (!wait) return;
      await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
      if (signal.aborted) return;
    } finally {
      if (!signal.aborted) $("progress").hidden = true;
    }
  }
}

/** Drops the running request, and gives the next one's controller. */
function forget() {
  running.abort();
  $("progress").hidden = true;
  running = new AbortController();
  return running;
}

/** @param {Answer} given @param {Question} asked */
function settle(given, asked) {
  [answer, problem] = [given, null];
  showAnswer(given);
  showBox(given.alone ? null : given.prediction.box);
  delete $("local-state").dataset.digit;
  remember(given, asked);
  void compare(given, asked);
}

/** @param {Problem} error @param {number} wait */
function fail(error, wait) {
  [answer, problem] = [null, error];
  showProblem(error, wait);
  showBox(null);
}

/** @param {number} share  of the upload that is done; beyond it, the answer is awaited */
function showProgress(share) {
  const progress = /** @type {HTMLProgressElement} */ ($("progress"));
  progress.hidden = false;
  if (share < 1) progress.value = share;
  else progress.removeAttribute("value");
}

// Drawing

function askAboutDrawing() {
  $("pad-hint").hidden = !pad.empty;
  input("undo").disabled = input("clear").disabled = pad.empty;
  if (pad.empty) {
    forget();
    [question, answer, problem] = [null, null, null];
    drawn = Symbol("drawing");
    showNothing();
    say(t("cleared"));
    return;
  }
  const picture = pad.picture();
  const drawing = picture.toDataURL();
  const pixels = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d")).getImageData(0, 0, SIDE, SIDE).data;
  const ink = pixels.filter((_, place) => place % 4 === 0).map((level) => 255 - level);
  const body = JSON.stringify({ image: drawing });
  void ask({ call: { path: "predict/canvas?include=glyph", drawing }, body, preview: drawing, about: drawn, ink });
}

pad.addEventListener("change", () => setBusy(true));
pad.addEventListener("ink", askAboutDrawing);
pad.addEventListener("pen", () => say(t(pad.penDown ? "pen.down" : "pen.up")));
pad.canvas.addEventListener("pointerdown", () => ($("pad-hint").hidden = true));
$("undo").addEventListener("click", () => pad.undo());
$("clear").addEventListener("click", () => pad.clear());
input("brush").addEventListener("input", () => (pad.width = Number(input("brush").value)));
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !$("draw").hidden) pad.undo();
});

// Pictures

/** One picture is read, several become a table. @param {File[]} files */
async function take(files) {
  if (files.length === 0) return;
  if (files.length > 1 || !$("batch").hidden) return takeMany(files);
  chooseMode($("tab-photo"));
  showWaiting(t("sending", { name: files[0].name }));
  const mine = forget();
  const { file, preview } = await prepare(files[0]);
  if (mine !== running) return;
  showShot(preview);
  const body = new FormData();
  body.append("file", file, file.name);
  await ask({ call: { path: "predict?include=glyph", names: [files[0].name] }, body, preview, about: Symbol("picture") });
}

/** @param {File[]} files */
async function takeMany(files) {
  chooseMode($("tab-batch"));
  try {
    await readMany(files, (names) => noteCall({ path: "predict/batch", names }));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    $("batch-hint").textContent = t(`problem.${error.code}`);
    say(t(`problem.${error.code}`));
    if (error.code === "unauthorized") askForKey(() => takeMany(files));
  }
}

/** @param {string} preview */
function showShot(preview) {
  $("invite").hidden = !!preview;
  $("shot").hidden = !preview;
  $("shot-box").hidden = true;
  if (preview) /** @type {HTMLImageElement} */ ($("shot-image")).src = preview;
}

/** Marks where the digit was found in the picture. @param {import("./api.js").Box | null} box */
function showBox(box) {
  const image = /** @type {HTMLImageElement} */ ($("shot-image"));
  $("shot-box").hidden = !box || !question || !!question.ink || !image.naturalWidth;
  if (!box) return;
  const share = { left: box.x / image.naturalWidth, top: box.y / image.naturalHeight,
    width: box.width / image.naturalWidth, height: box.height / image.naturalHeight };
  for (const [side, value] of Object.entries(share)) $("shot-box").style.setProperty(side, `${100 * value}%`);
}

for (const id of ["camera", "file", "files"])
  input(id).addEventListener("change", ({ target }) => {
    const chooser = /** @type {HTMLInputElement} */ (target);
    void take([...(chooser.files ?? [])]);
    chooser.value = "";
  });
document.addEventListener("paste", (event) => void take([...(event.clipboardData?.files ?? [])]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  void take([...(event.dataTransfer?.files ?? [])]);
});
$("csv").addEventListener("click", () => {
  const href = URL.createObjectURL(toCsv());
  make("a", { href, download: "digits.csv" }).click();
  URL.revokeObjectURL(href);
});

for (const name of EXAMPLES) {
  const src = `${assets}/examples/${name}`;
  const button = make("button", { type: "button" }, make("img", { src, alt: t(`example.${name.split(".")[0]}`), width: 64, height: 64, loading: "lazy" }));
  /** @type {HTMLElement} */ (button.firstElementChild).dataset.tAlt = `example.${name.split(".")[0]}`;
  button.addEventListener("click", async () => {
    const blob = await (await get(src)).blob();
    await take([new File([blob], name, { type: blob.type })]);
  });
  $("examples").querySelector("ul")?.append(make("li", {}, button));
}

// What was answered before, and how to ask the same by code

/** One entry a drawing or picture: a drawing's later strokes replace its earlier answers. @param {Answer} given @param {Question} asked */
function remember(given, asked) {
  past = [{ answer: given, question: asked }, ...past.filter((entry) => entry.question.about !== asked.about)].slice(0, KEPT);
  $("past-empty").hidden = true;
  $("history").replaceChildren(...past.map((entry) => make("li", {}, historyButton(entry))));
}

/** @param {{answer: Answer, question: Question}} entry */
function historyButton(entry) {
  const { digit, confidence, accepted } = entry.answer.prediction;
  const values = { digit, percent: percent(confidence) };
  const button = make("button", { type: "button", className: accepted ? "" : "doubtful", ariaLabel: t("history.show", values) },
    entry.question.preview ? make("img", { src: entry.question.preview, alt: "" }) : "", make("b", { textContent: digit }));
  button.addEventListener("click", () => {
    forget();
    ({ answer, question } = entry);
    problem = null;
    if (!question.ink) showShot(question.preview);
    chooseMode($(question.ink ? "tab-draw" : "tab-photo"));
    noteCall(question.call);
    showAnswer(entry.answer);
    showBox(entry.answer.prediction.box);
  });
  return button;
}

/** @param {import("./code.js").Call} made */
function noteCall(made) {
  call = made;
  showCode();
}

function showCode() {
  const code = /** @type {HTMLElement} */ ($("code").firstElementChild);
  code.textContent = shorten(write(call, tongue, hasKey()));
  $("code").setAttribute("aria-labelledby", `tab-${tongue}`);
}

$("copy").addEventListener("click", async () => {
  const done = await navigator.clipboard.writeText(write(call, tongue, hasKey())).then(() => "copied", () => "copy.failed");
  $("copy").textContent = t(done);
  say(t(done));
  setTimeout(() => ($("copy").textContent = t("copy")), 2000);
});
tabs(/** @type {Element} */ ($("call").querySelector('[role="tablist"]')), (tab) => {
  tongue = /** @type {import("./code.js").Tongue} */ (tab.id.slice(4));
  showCode();
});
$("again").addEventListener("click", () => question && void ask(question));

// The model in this browser

/** Reads a drawing without the service. @param {LocalModel} reader @param {Uint8ClampedArray} ink @returns {Promise<Answer>} */
async function readAlone(reader, ink) {
  const started = performance.now();
  const glyph = /** @type {Uint8Array} */ (placeGlyph(ink, SIDE));
  const { probabilities, energy } = await reader.read(glyph);
  const confidence = Math.max(...probabilities);
  const limits = model?.metadata ?? { threshold: 0, least_energy: -Infinity };
  const warnings = [
    ...(confidence < limits.threshold ? [{ code: "low-confidence", value: confidence, detail: "" }] : []),
    ...(energy < limits.least_energy ? [{ code: "unlike-a-digit", value: energy, detail: "" }] : []),
  ];
  const digit = probabilities.indexOf(confidence);
  const name = { name: model?.name ?? "digits", version: reader.version };
  const prediction = { digit, confidence, probabilities, accepted: warnings.length === 0, warnings, box: null, model: name, glyph: glyphUrl(glyph) };
  return { prediction, provider: "", stages: "", milliseconds: performance.now() - started, alone: true };
}

/** Shows whether this browser agrees with the service, on its glyph and on the page's own. @param {Answer} given @param {Question} asked */
async function compare({ prediction, alone }, asked) {
  if (!local) return;
  const state = $("local-state");
  if (alone) return void (state.textContent = t("local.alone"));
  if (local.version !== prediction.model.version) await loadLocal();
  if (!local || !prediction.glyph) return;
  const { probabilities } = await local.read(await readGlyph(prediction.glyph));
  const own = asked.ink && (await readAlone(local, asked.ink)).prediction;
  if (question !== asked) return;
  const digit = probabilities.indexOf(Math.max(...probabilities));
  const apart = (/** @type {number[]} */ values) => Math.max(...values.map((value, place) => Math.abs(value - prediction.probabilities[place])));
  state.textContent = t(digit === prediction.digit ? "local.agrees" : "local.differs", { digit, percent: percent(probabilities[digit]) });
  if (own) state.append(" ", t("local.own", { digit: own.digit, percent: percent(own.confidence) }));
  Object.assign(state.dataset, { digit, apart: apart(probabilities) });
  if (own) Object.assign(state.dataset, { own: own.digit, ownApart: apart(own.probabilities) });
}

async function loadLocal() {
  const state = $("local-state");
  state.textContent = t("local.loading");
  try {
    model = await (await get("model")).json();
    local = await LocalModel.load(runtime, model?.version ?? "");
    state.textContent = t("local.ready");
  } catch (error) {
    local = null;
    input("local").checked = false;
    const missing = error instanceof Problem && error.status === 404;
    state.textContent = missing ? t("local.no-edition") : t("local.failed", { detail: /** @type {Error} */ (error).message });
  }
}

input("local").addEventListener("change", async () => {
  if (!input("local").checked) {
    local = null;
    $("local-state").textContent = t("local.off");
    return;
  }
  await loadLocal();
  if (local && answer && question) await compare(answer, question);
});

// Modes, language, key

const chooseMode = tabs(/** @type {Element} */ ($("source").querySelector('[role="tablist"]')), (tab) => {
  for (const panel of ["draw", "photo", "batch"]) $(panel).hidden = tab.id !== `tab-${panel}`;
  document.body.classList.toggle("many", tab.id === "tab-batch");
});

function sayEverything() {
  const other = currentLanguage() === "zh" ? "en" : "zh";
  $("language").textContent = other === "zh" ? "中文" : "English";
  $("language").lang = other;
  $("local-state").textContent = t(runtime ? (local ? "local.ready" : "local.off") : "local.absent");
  if (answer) showAnswer(answer);
  else if (problem) showProblem(problem);
  else showNothing();
}

$("language").addEventListener("click", () => {
  choose(currentLanguage() === "zh" ? "en" : "zh");
  sayEverything();
});

/** @param {() => void} [then]  what to do once there is a key */
function askForKey(then = () => question && void ask(question)) {
  const dialog = /** @type {HTMLDialogElement} */ ($("key-dialog"));
  if (dialog.open) return;
  dialog.returnValue = "";
  dialog.addEventListener("close", () => {
    const key = input("key").value.trim();
    if (dialog.returnValue !== "use" || !key) return;
    keepKey(key);
    input("key").value = "";
    void learnModel();
    then();
  }, { once: true });
  dialog.showModal();
}

$("key-cancel").addEventListener("click", () => /** @type {HTMLDialogElement} */ ($("key-dialog")).close());

/** What is being served; where that cannot be told, answers go without the provider's name. */
async function learnModel() {
  model = await get("model").then((response) => response.json(), () => null);
}

speak(preferredLanguage());
sayEverything();
showCode();
input("local").disabled = !runtime;
void learnModel();
document.documentElement.dataset.ready = "";
