// @ts-check
/** The page: what is drawn, dropped, pasted or chosen is sent, and what comes back is shown. */

import { say, setBusy, showAnswer, showNothing, showProblem, showWaiting } from "./answer.js";
import { Problem, get, post } from "./api.js";
import { readMany, toCsv } from "./batch.js";
import { noteCall, setUpCode } from "./code.js";
import { compare, describeSwitch, learnModel, provider, readAlone, setUpSwitch } from "./comparing.js";
import { $, input, make, tabs } from "./dom.js";
import { choose, currentLanguage, preferredLanguage, speak, t } from "./i18n.js";
import { askForKey } from "./key.js";
import { Pad, SIDE } from "./pad.js";
import { remember } from "./past.js";
import { prepare } from "./picture.js";
import { showBox, showShot } from "./shot.js";

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {import("./past.js").Question} Question */

const TRIES = 3; // after refusals that name a time to wait
const LONGEST_WAIT = 5; // seconds that are waited for another try
const EXAMPLES = ["seven.jpg", "five.png", "two-digits.png", "letter.png"];

const { assets = "" } = document.documentElement.dataset;
const pad = new Pad(/** @type {HTMLCanvasElement} */ ($("pad")));

/** @type {Question | null} */
let question = null;
/** @type {Answer | null} */
let answer = null;
/** @type {Problem | null} */
let problem = null;
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
      return settle({ prediction: body, provider: provider(), stages, milliseconds, alone: false }, asked);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      const own = error.code === "unreachable" && asked.ink ? await readAlone(asked.ink) : null;
      if (own) return settle(own, asked);
      const wait = tries <= TRIES && error.retryAfter && error.retryAfter <= LONGEST_WAIT ? error.retryAfter : 0;
      fail(error, wait);
      if (error.code === "unauthorized") askForKey(() => void learnModel().then(() => question && ask(question)));
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
  showBox(asked.ink ? null : given.prediction.box);
  remember({ answer: given, question: asked }, showAgain);
  void compare(given, asked.ink, () => question === asked);
}

/** @param {import("./past.js").Entry} entry  of the history */
async function showAgain(entry) {
  forget();
  ({ answer, question } = entry);
  problem = null;
  chooseMode($(question.ink ? "tab-draw" : "tab-photo"));
  noteCall(question.call);
  showAnswer(answer);
  if (question.ink) return;
  await showShot(question.preview);
  showBox(answer.prediction.box);
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
  const ink = () => {
    const pixels = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d")).getImageData(0, 0, SIDE, SIDE).data;
    return pixels.filter((_, place) => place % 4 === 0).map((level) => 255 - level);
  };
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
  await showShot(preview);
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
    if (error.code === "unauthorized") askForKey(() => void takeMany(files));
  }
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
    setBusy(true); // at once, though the example itself is still to come
    try {
      const blob = await (await get(src)).blob();
      await take([new File([blob], name, { type: blob.type })]);
    } catch (error) {
      setBusy(false);
      throw error;
    }
  });
  $("examples").querySelector("ul")?.append(make("li", {}, button));
}

// Modes, language, and what is left

const chooseMode = tabs(/** @type {Element} */ ($("source").querySelector('[role="tablist"]')), (tab) => {
  for (const panel of ["draw", "photo", "batch"]) $(panel).hidden = tab.id !== `tab-${panel}`;
  document.body.classList.toggle("many", tab.id === "tab-batch");
});

function sayEverything() {
  const other = currentLanguage() === "zh" ? "en" : "zh";
  $("language").textContent = other === "zh" ? "中文" : "English";
  $("language").lang = other;
  describeSwitch();
  if (answer) showAnswer(answer);
  else if (problem) showProblem(problem);
  else showNothing();
}

$("language").addEventListener("click", async () => {
  await choose(currentLanguage() === "zh" ? "en" : "zh");
  sayEverything();
});

$("again").addEventListener("click", () => question && void ask(question));
setUpSwitch(() => answer && question && void compare(answer, question.ink, () => true));
setUpCode();
await speak(preferredLanguage());
sayEverything();
void learnModel();
document.documentElement.dataset.ready = "";
