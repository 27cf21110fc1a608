// @ts-check
/** The switch that lets this browser read when the server is gone. */

import { Problem, getJson } from "./api.js";
import { $, input } from "./dom.js";
import { describeProblem, t } from "./i18n.js";

/** @typedef {import("./answer.js").Answer} Answer */

const { runtime = "" } = document.documentElement.dataset;

/** @type {import("./api.js").ModelInfo | null} */
let model = null;
/** @type {import("./local.js").LocalReader | null} */
let local = null;
/** @type {symbol | null} */
let loading = null; // the load whose outcome is wanted
let said = "local.off";
/** @type {Error | null} */
let failure = null;

/** Where the service's model runs, or nothing where that is not known. */
export const provider = () => model?.provider ?? "";

/** What is being served; where that cannot be told, answers go without the provider's name. */
export async function learnModel() {
  model = await getJson("model").catch(() => null);
}

/**
 * This browser's own answer, or null where it cannot read: the switch is off, or it cannot open the picture.
 * @param {() => Promise<HTMLCanvasElement | null>} open
 * @returns {Promise<Answer | null>}
 * @throws {Problem}  there is no digit
 */
export async function readAlone(open) {
  const started = performance.now();
  const picture = local && (await open());
  if (!local || !picture) return null;
  const reading = await local.read(picture);
  if (!reading) throw new Problem({ code: "no-digit-found", status: 422 });
  return { reading, provider: "", stages: "", milliseconds: performance.now() - started, alone: true };
}

/** Fetches the version that answers, where the browser has another one. @param {string} version */
export function keepUp(version) {
  if (local && !loading && local.model.version !== version) void load();
}

async function load() {
  const mine = (loading = Symbol("load"));
  tell("local.loading");
  try {
    const { LocalReader } = await import("./local.js");
    const served = await getJson("model");
    const reader = await LocalReader.load(runtime, served);
    if (mine !== loading) return;
    [local, model, loading] = [reader, served, null];
    tell("local.ready");
  } catch (error) {
    if (mine !== loading) return;
    [local, loading] = [null, null];
    input("local").checked = false;
    tell("local.failed", /** @type {Error} */ (error));
  }
}

/** @param {string} key @param {Error | null} error */
function tell(key, error = null) {
  [said, failure] = [key, error];
  describeSwitch();
}

/** Says what the switch does, in the language of the moment. */
export function describeSwitch() {
  $("local-state").dataset.state = said;
  const detail = failure instanceof Problem ? describeProblem(failure.code, failure.message) : (failure?.message ?? "");
  $("local-state").textContent = t(said, { detail });
}

/** Lets the switch work, where the server has the runtime. */
export function setUpSwitch() {
  $("browser").hidden = !runtime;
  input("local").addEventListener("change", () => {
    [local, loading] = [null, null];
    if (input("local").checked) void load();
    else tell("local.off");
  });
}
