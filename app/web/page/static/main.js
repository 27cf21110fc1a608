// @ts-check
/** The page: what is drawn, dropped, pasted or chosen is sent, and what comes back is shown. */

import { describeSwitch, keepUp, learnModel, provider, readAlone, setUpSwitch } from "./alone.js";
import { say, setBusy, showAnswer, showNothing, showProblem, showWaiting } from "./answer.js";
import { Problem, get, post } from "./api.js";
import { describeBatch, readMany, sayHint, toCsv } from "./batch.js";
import { markShot, pickBox, showBoxes, showShot } from "./boxes.js";
import { noteCall, setUpCode } from "./code.js";
import { explain, setUpDigits } from "./digits.js";
import { $, input, make, tabs } from "./dom.js";
import { choose, currentLanguage, describeProblem, preferredLanguage, speak, t } from "./i18n.js";
import { askForKey } from "./key.js";
import { Pad, SIDE } from "./pad.js";
import { remember, setUpPast, showPast } from "./past.js";
import { openPicture, prepare } from "./picture.js";

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {import("./past.js").Question} Question */
/**
 * What stands in a tab: the last question, and its answer, or the problem with the seconds until another try.
 * unread: whether there is ink, but no digit yet; note: words for what is under way; running: the request whose answer is wanted.
 * @typedef {{question: Question | null, answer: Answer | null, problem: Problem | null, wait: number, unread: boolean,
 *   note: (() => string) | null, running: AbortController}} View
 */

const TRIES = 3; // after refusals that name a time to wait
const LONGEST_WAIT = 5; // seconds that are waited for another try
const EXAMPLES = ["seven.jpg", "five.png", "two-digits.png", "letter.png"];

const { assets = "" } = document.documentElement.dataset;
const pad = new Pad(/** @type {HTMLCanvasElement} */ ($("pad")));
const [drawing, photo] = [newView(), newView()];
let view = drawing; // the one that is seen, or was before the table of many pictures
let many = new AbortController(); // ends the reading of many pictures
let sheet = Symbol("sheet"); // another once the pad was cleared

/** @returns {View} */
function newView() {
  return { question: null, answer: null, problem: null, wait: 0, unread: false, note: null, running: new AbortController() };
}

/** @param {View} of */
const isSeen = (of) => of === view && $("batch").hidden;

/** Shows a view, if it is the one that is seen. @param {View} of */
function show(of) {
  if (!isSeen(of)) return;
  const { question, answer, problem, wait, unread, note } = of;
  if (problem) showProblem(problem, wait, of === photo, !!question);
  else if (answer) showAnswer(answer);
  else showNothing(unread);
  const digits = answer?.reading.digits ?? [];
  if (of === photo) markShot(digits, explain);
  else showBoxes($("pad-boxes"), pad.drawing ? [] : digits, { width: SIDE, height: SIDE }, explain);
  if (note) showWaiting(note());
  if (question) noteCall(question.call);
}

/** Asks the service, again where it names a time to wait; a view's newest question alone is answered. @param {Question} asked */
async function ask(asked) {
  const of = asked.strokes ? drawing : photo;
  const { signal } = forget(of);
  of.question = asked;
  of.note = () => (asked.strokes ? "" : t("sending", { name: asked.call.names?.[0] ?? "" }));
  if (isSeen(of)) {
    showWaiting(of.note());
    noteCall(asked.call);
  }
  for (let tries = 1; ; tries++) {
    try {
      const { body, stages, milliseconds } = await post(asked.call.path, asked.body, { signal, progress: asked.strokes ? undefined : showProgress });
      if (signal.aborted) return;
      keepUp(body.model.version);
      return settle({ reading: body, provider: provider(), stages, milliseconds, alone: false }, asked);
    } catch (caught) {
      if (signal.aborted) return;
      const outcome = await instead(caught, asked);
      if (signal.aborted) return;
      if (!(outcome instanceof Problem)) return settle(outcome, asked);
      const wait = tries <= TRIES && outcome.retryAfter <= LONGEST_WAIT ? outcome.retryAfter : 0;
      if (!refuse(outcome, wait, of) || !wait) return;
      await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
      if (signal.aborted) return;
    } finally {
      if (!signal.aborted && of === photo) $("progress").hidden = true;
    }
  }
}

/**
 * What there is in the place of the service's answer: this browser's own where the service is gone, or a problem.
 * @param {unknown} caught
 * @param {Question} asked
 * @returns {Promise<Answer | Problem>}
 */
async function instead(caught, asked) {
  const problem = Problem.from(caught);
  if (problem.code !== "unreachable") return problem;
  try {
    return (await readAlone(asked.open)) ?? problem;
  } catch (error) {
    const failure = Problem.from(error);
    return failure.code === "unknown" ? problem : failure; // this browser failed, too
  }
}

/** Drops a view's running request, and gives the next one's controller. @param {View} of */
function forget(of) {
  of.running.abort();
  if (of === photo) $("progress").hidden = true;
  of.running = new AbortController();
  return of.running;
}

/** @param {Answer} given @param {Question} asked */
function settle(given, asked) {
  const of = asked.strokes ? drawing : photo;
  Object.assign(of, { answer: given, problem: null, unread: false, note: null });
  show(of);
  remember({ answer: given, question: asked });
}

/**
 * Notes why there is no answer. While a stroke goes on, that is no news: its end asks again. Nor is ink in which there is no digit yet.
 * @param {Problem} error
 * @param {number} wait  seconds until another try
 * @param {View} of
 * @returns {boolean}  whether it was a problem
 */
function refuse(error, wait, of) {
  const unread = of === drawing && error.code === "no-digit-found";
  const news = !unread && !(of === drawing && pad.drawing);
  of.note = null;
  if (news) Object.assign(of, { answer: null, problem: error, wait, unread });
  else if (!pad.drawing) Object.assign(of, { answer: null, problem: null, unread });
  show(of);
  if (news && error.wantsKey) askForKey(error.code === "unknown-key", () => void learnModel().then(() => of.question && ask(of.question)));
  return news;
}

/** @param {import("./past.js").Entry} entry  of the history */
async function showAgain({ answer, question }) {
  const of = question.strokes ? drawing : photo;
  forget(of);
  Object.assign(of, { question, answer, problem: null, unread: false, note: null });
  if (question.strokes) {
    pad.restore(question.strokes);
    sheet = question.about; // going on with it makes it another answer of the same drawing
    describeTools();
  }
  chooseMode($(of === drawing ? "tab-draw" : "tab-photo"));
  $("answer").scrollIntoView({ block: "nearest" }); // on a phone, it is far from here
  if (question.strokes) return;
  await showShot(question.preview);
  show(photo); // with its boxes
}

/** @param {number} share  of the upload that is done; beyond it, the answer is awaited */
function showProgress(share) {
  const progress = /** @type {HTMLProgressElement} */ ($("progress"));
  progress.hidden = false;
  if (share < 1) progress.value = share;
  else progress.removeAttribute("value");
}

// Drawing

/** What can be done with the ink that there is. The focus does not stay on what cannot be done any more. */
function describeTools() {
  $("pad-hint").hidden = !pad.empty;
  if (pad.empty && [$("undo"), $("clear")].includes(/** @type {HTMLElement} */ (document.activeElement))) pad.canvas.focus();
  input("undo").disabled = input("clear").disabled = pad.empty;
}

function askAboutDrawing() {
  describeTools();
  if (pad.empty) {
    forget(drawing);
    Object.assign(drawing, newView());
    sheet = Symbol("sheet");
    show(drawing);
    say(t("cleared"));
    return;
  }
  const picture = pad.picture();
  const url = picture.toDataURL();
  const body = JSON.stringify({ image: url });
  const call = { path: "read/canvas?include=glyph", drawing: url };
  void ask({ call, body, preview: url, about: sheet, strokes: pad.copy(), open: async () => picture });
}

pad.addEventListener("change", () => {
  forget(drawing); // its answer would be one to other ink
  setBusy(true);
  $("pad-boxes").replaceChildren(); // until the ink is read anew
});
pad.addEventListener("ink", askAboutDrawing);
pad.addEventListener("pen", () => say(t(pad.penDown ? "pen.down" : "pen.up")));
pad.canvas.addEventListener("pointerdown", () => ($("pad-hint").hidden = true));
$("undo").addEventListener("click", () => pad.undo());
$("clear").addEventListener("click", () => pad.clear());
input("brush").addEventListener("input", () => (pad.width = Number(input("brush").value)));
document.addEventListener("keydown", (event) => {
  const typing = /** @type {Element} */ (event.target).closest("textarea, dialog"); // where the key undoes what was typed
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing && !$("draw").hidden) pad.undo();
});

// Pictures

/** One picture is read, several become a table. @param {File[]} files */
async function take(files) {
  if (files.length === 0) return;
  if (files.length > 1 || !$("batch").hidden) return takeMany(files);
  await takeOne(files[0].name, async () => files[0]);
}

/**
 * Reads a picture, unless another one is given before it is ready.
 * @param {string} name
 * @param {(signal: AbortSignal) => Promise<File>} load
 */
async function takeOne(name, load) {
  chooseMode($("tab-photo"));
  const { signal } = forget(photo);
  Object.assign(photo, { question: null, answer: null, problem: null, note: () => t("sending", { name }) });
  show(photo);
  let picture;
  try {
    picture = await prepare(await load(signal));
  } catch (error) {
    if (!signal.aborted) refuse(Problem.from(error), 0, photo);
    return;
  }
  if (signal.aborted) return;
  const { file, preview } = picture;
  await showShot(preview);
  if (signal.aborted) return;
  const body = new FormData();
  body.append("file", file, file.name);
  const call = { path: "read?include=glyph", names: [name] };
  await ask({ call, body, preview, about: Symbol("picture"), strokes: null, open: () => openPicture(file) });
}

/** @param {File[]} files */
async function takeMany(files) {
  chooseMode($("tab-batch"));
  await fillTable(files);
}

/** Reads pictures into the table, in the place of those that are being read. @param {File[]} files */
async function fillTable(files) {
  many.abort();
  many = new AbortController();
  const { signal } = many;
  try {
    await readMany(files, signal, (names) => $("batch").hidden || noteCall({ path: "read/batch", names }));
  } catch (error) {
    if (signal.aborted) return;
    const problem = Problem.from(error);
    sayHint(() => describeProblem(problem.code, problem.message));
    if (problem.wantsKey) askForKey(problem.code === "unknown-key", () => signal.aborted || void fillTable(files));
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
  button.addEventListener("click", () => {
    void takeOne(name, async (signal) => {
      const blob = await (await get(src, signal)).blob();
      return new File([blob], name, { type: blob.type });
    });
    $("answer").scrollIntoView({ block: "nearest" });
  });
  $("examples").querySelector("ul")?.append(make("li", {}, button));
}

// Modes, language, and what is left

const chooseMode = tabs(/** @type {Element} */ ($("source").querySelector('[role="tablist"]')), (tab) => {
  for (const panel of ["draw", "photo", "batch"]) $(panel).hidden = tab.id !== `tab-${panel}`;
  document.body.classList.toggle("many", tab.id === "tab-batch");
  if (tab.id !== "tab-batch") {
    view = tab.id === "tab-draw" ? drawing : photo;
    show(view);
  }
});

function sayEverything() {
  const other = currentLanguage() === "zh" ? "en" : "zh";
  $("language").textContent = other === "zh" ? "中文" : "English";
  $("language").lang = other;
  describeSwitch();
  describeBatch();
  showPast();
  show(view); // or when its tab is chosen
}

$("language").addEventListener("click", () => {
  choose(currentLanguage() === "zh" ? "en" : "zh");
  sayEverything();
});

$("again").addEventListener("click", () => view.question && void ask(view.question));
$("another").addEventListener("click", () => input("file").click());
setUpSwitch();
setUpPast(showAgain);
setUpDigits((place) => {
  for (const id of ["pad-boxes", "shot-boxes"]) pickBox($(id), place);
});
setUpCode();
speak(preferredLanguage());
sayEverything();
void learnModel();
document.documentElement.dataset.ready = "";
