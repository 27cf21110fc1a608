// @ts-check
/** The administrator's sheet of corrections: each is accepted or refused by a key or a button. */

import { Problem, findStranger, getJson, keepKey, post } from "./api.js";
import { $, input, make } from "./dom.js";
import { percent } from "./i18n.js";

/**
 * @typedef {{id: string, answer: string, truth: string | null, confidence: number, client: string, disputed: boolean,
 *   glyphs: string[]}} Corrected
 */

const KEYS = /** @type {Record<string, string>} */ ({ a: "accepted", r: "refused" });
const STEPS = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 });

const sheet = $("sheet");

async function load() {
  try {
    const { corrections } = await getJson("admin/corrections?status=new");
    $("key-form").hidden = true;
    sheet.replaceChildren(...corrections.map(card));
    $("more").hidden = corrections.length === 0;
    $("state").textContent = corrections.length ? `${corrections.length} shown.` : "Nothing is left to review.";
    cards()[0]?.focus();
  } catch (error) {
    tell(error);
  }
}

/** @param {unknown} error */
function tell(error) {
  if (!(error instanceof Problem)) throw error;
  $("key-form").hidden = ![401, 403].includes(error.status);
  $("state").textContent = error.message;
}

/** @param {Corrected} corrected */
function card(corrected) {
  const { answer, truth, confidence, client, disputed, glyphs } = corrected;
  const item = make("li", { tabIndex: 0 },
    ...glyphs.map((src) => make("img", { src, alt: `Glyph read as ${answer}` })),
    make("p", {}, `${answer} → ${truth ?? "no digit"}`),
    make("p", { className: "small" }, `${percent(confidence)} sure, ${client}${disputed ? ", disputed" : ""}`),
    make("div", { className: "tools" }, ...Object.entries({ a: "Accept", r: "Refuse" }).map(([key, text]) => {
      const button = make("button", { type: "button" }, text);
      button.addEventListener("click", () => void judge(item, corrected, KEYS[key]));
      return button;
    })));
  item.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS[event.key]) void judge(item, corrected, KEYS[event.key]);
    else if (STEPS[event.key]) move(item, STEPS[event.key]);
    else return;
    event.preventDefault();
  });
  return item;
}

/** Judges a card, unless that is under way. The focus goes on to the next, unless it went elsewhere meanwhile. @param {HTMLElement} item @param {Corrected} corrected @param {string} status */
async function judge(item, { id, truth }, status) {
  if (item.ariaBusy === "true") return;
  item.ariaBusy = "true";
  try {
    await post(`admin/corrections/${id}`, JSON.stringify({ truth, status }));
    item.dataset.status = status;
    if (item.contains(document.activeElement)) move(item, 1);
  } catch (error) {
    tell(error);
  } finally {
    item.ariaBusy = "false";
  }
}

/** @param {HTMLElement} item @param {number} step */
function move(item, step) {
  const all = cards();
  all[all.indexOf(item) + step]?.focus();
}

/** @returns {HTMLElement[]} */
function cards() {
  return /** @type {HTMLElement[]} */ ([...sheet.children]);
}

$("more").addEventListener("click", () => void load());
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = input("key").value.trim();
  input("key").value = "";
  const found = findStranger(key);
  if (found) $("state").textContent = `The key contains ${found}, a character that no key has. Copy the whole key again.`;
  else keepKey(key), void load();
});
void load();
