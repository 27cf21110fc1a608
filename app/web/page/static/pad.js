// @ts-check
/** A pad to draw on, with mouse, finger, pen or keys; it knows its strokes, so that they can be undone and drawn at any size. */

export const SIDE = 280; // units of the pad, and pixels of the picture that is sent
const STEP = 7; // units that an arrow key moves the pen by
const LIFTED = 0; // milliseconds after a stroke's end, and
const RESTING = 80; // after the pen stopped within one, before what was drawn is read

/** @typedef {{x: number, y: number, width: number}} Point */

export class Pad extends EventTarget {
  /** Fires "change" with every bit of ink, "ink" when drawing pauses, and "pen" when keys set the pen down or lift it.
   * @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    /** @type {Point[][]} */
    this.strokes = [];
    this.width = 22; // of the pen: MNIST's median, 0.13 of the height of a digit that fills two thirds of the pad
    this.cursor = { x: SIDE / 2, y: SIDE / 2 };
    this.penDown = false;
    this.timer = 0;
    this.frame = 0;
    /** @type {number | null} */
    this.pointer = null;
    canvas.addEventListener("pointerdown", (event) => this.#start(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, (event) => this.#end(/** @type {PointerEvent} */ (event)));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const change of ["focus", "blur"]) canvas.addEventListener(change, () => this.#paintSoon());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paintSoon());
  }

  get empty() {
    return this.strokes.length === 0;
  }

  /** Whether a stroke goes on. */
  get drawing() {
    return this.pointer !== null || this.penDown;
  }

  /** The strokes so far, which go on elsewhere. @returns {Point[][]} */
  copy() {
    return this.strokes.map((stroke) => [...stroke]);
  }

  /** Shows strokes again, without an event. @param {Point[][]} strokes */
  restore(strokes) {
    this.strokes = strokes.map((stroke) => [...stroke]);
    this.#lift();
    clearTimeout(this.timer);
    this.#paintSoon();
  }

  undo() {
    this.strokes.pop();
    this.#lift();
    this.#changed(0);
  }

  clear() {
    this.strokes = [];
    this.#lift();
    this.#changed(0);
  }

  /** Ends the stroke under way: what follows of it leaves no ink. */
  #lift() {
    this.pointer = null;
    this.penDown = false;
  }

  /** The drawing, black on white: SIDE × SIDE. @returns {HTMLCanvasElement} */
  picture() {
    const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
    draw(context, this.strokes, "#000");
    return canvas;
  }

  /** @param {PointerEvent} event */
  #start(event) {
    if (this.pointer !== null || event.button !== 0) return; // a second finger, or another button
    this.pointer = event.pointerId;
    this.penDown = false;
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes.push([this.#point(event)]);
    this.#changed(RESTING);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (event.pointerId !== this.pointer) return;
    const coalesced = event.getCoalescedEvents?.() ?? [];
    for (const each of coalesced.length ? coalesced : [event]) this.strokes.at(-1)?.push(this.#point(each));
    this.#changed(RESTING);
  }

  /** @param {PointerEvent} event */
  #end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.#changed(LIFTED);
  }

  /** @param {PointerEvent} event @returns {Point} */
  #point(event) {
    const area = this.canvas.getBoundingClientRect();
    const pressure = event.pointerType === "pen" && event.pressure ? 0.5 + event.pressure : 1;
    return {
      x: ((event.clientX - area.left) * SIDE) / area.width,
      y: ((event.clientY - area.top) * SIDE) / area.height,
      width: this.width * pressure,
    };
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) this.#moveCursor(way[0], way[1]);
    else if (event.key === " " || event.key === "Enter") this.#togglePen();
    else if (event.key === "Backspace") this.undo();
    else if (event.key === "Delete") this.clear();
    else return;
    event.preventDefault();
  }

  /** @param {number} right @param {number} down */
  #moveCursor(right, down) {
    const inside = (/** @type {number} */ place) => Math.min(Math.max(place, 0), SIDE);
    this.cursor = { x: inside(this.cursor.x + STEP * right), y: inside(this.cursor.y + STEP * down) };
    if (this.penDown) this.strokes.at(-1)?.push({ ...this.cursor, width: this.width });
    if (this.penDown) this.#changed(RESTING);
    else this.#paintSoon();
  }

  #togglePen() {
    this.penDown = !this.penDown;
    if (this.penDown) this.strokes.push([{ ...this.cursor, width: this.width }]);
    this.#changed(this.penDown ? RESTING : LIFTED);
    this.dispatchEvent(new Event("pen"));
  }

  /** @param {number} pause */
  #changed(pause) {
    this.#paintSoon();
    this.dispatchEvent(new Event("change"));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dispatchEvent(new Event("ink")), pause);
  }

  #paintSoon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#paint();
    });
  }

  #paint() {
    const { canvas } = this;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const colour = getComputedStyle(canvas).color;
    context.setTransform(canvas.width / SIDE, 0, 0, canvas.height / SIDE, 0, 0);
    context.clearRect(0, 0, SIDE, SIDE);
    draw(context, this.strokes, colour);
    if (!canvas.matches(":focus-visible")) return;
    context.lineWidth = 2;
    context.strokeStyle = colour;
    context.beginPath();
    context.arc(this.cursor.x, this.cursor.y, this.width / 2 + 3, 0, 2 * Math.PI);
    if (!this.penDown) context.setLineDash([3, 3]);
    context.stroke();
    context.setLineDash([]);
  }
}

/**
 * Draws strokes as curves through the middles between their points, each as wide as the pen was pressed there.
 * @param {CanvasRenderingContext2D} context
 * @param {Point[][]} strokes
 * @param {string} colour
 */
function draw(context, strokes, colour) {
  Object.assign(context, { strokeStyle: colour, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    let from = stroke[0];
    // Without length, a curve leaves no ink.
    stroke.forEach((point, place) => {
      const next = stroke[place + 1];
      const to = next ? { x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 } : { x: point.x + 0.01, y: point.y };
      context.lineWidth = point.width;
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.quadraticCurveTo(point.x, point.y, to.x, to.y);
      context.stroke();
      from = { ...to, width: point.width };
    });
  }
}
