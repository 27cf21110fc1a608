// @ts-check
/** The service's answers, asked for; every failure is one Problem. */

/**
 * @typedef {{code: string, value: number, detail: string}} Warning
 * @typedef {{x: number, y: number, width: number, height: number}} Box
 * @typedef {{digit: number, confidence: number, probabilities: number[], accepted: boolean, warnings: Warning[],
 *   box: Box, line: number, glyph: string | null}} Digit
 * @typedef {{text: string, confidence: number, accepted: boolean, lines: {digits: number[]}[], digits: Digit[],
 *   alternatives: {text: string, confidence: number}[], warnings: Warning[], model: {name: string, version: string},
 *   id?: string}} Reading  what the page looks at of it
 * @typedef {{name: string, version: string, provider: string,
 *   metadata: {threshold: number, least_energy: number}}} ModelInfo
 * @typedef {{body: any, stages: string, milliseconds: number}} Reply
 */

const KEY = "numeral-api-key"; // in the session's storage: gone when the tab is closed
const SILENCE = 30_000; // milliseconds after which a silent service is taken for gone; its own deadline is 10 s unless set otherwise

/** Why there is no answer: the service's problem+json, or a code of this page: "unreachable", "unknown-key" or "unknown". */
export class Problem extends Error {
  /** @param {{code: string, detail?: string, status?: number, request_id?: string}} problem @param {number} retryAfter  seconds, 0 for never */
  constructor(problem, retryAfter = 0) {
    super(problem.detail ?? problem.code);
    this.code = problem.code;
    this.status = problem.status ?? 0;
    this.requestId = problem.request_id ?? "";
    this.retryAfter = retryAfter;
  }

  /** What was thrown, as a problem. An error of another kind, as after an answer of another shape, goes to the console. @param {unknown} error */
  static from(error) {
    if (error instanceof Problem) return error;
    console.error(error);
    return new Problem({ code: "unknown" });
  }

  /** Whether the same request may be answered another time: the refusal was not about what was sent. */
  get passes() {
    return this.status < 400 || this.status >= 500 || [401, 408, 429].includes(this.status);
  }

  /** Whether a key, or another one, is what is missing. */
  get wantsKey() {
    return ["unauthorized", "unknown-key"].includes(this.code);
  }
}

/** The first character that no key has, with its code point, or nothing. Pasted text may bring a curly quote, which no header can carry. @param {string} key */
export function findStranger(key) {
  const [character] = key.match(/[^ -~]/u) ?? [""];
  return character && `${character} (U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")})`;
}

/** @param {string} key  without strangers */
export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

/** @returns {Record<string, string>} */
function keyHeader() {
  const key = sessionStorage.getItem(KEY);
  return key ? { "X-API-Key": key } : {};
}

/**
 * Posts a body; XMLHttpRequest, since fetch tells nothing of how far an upload is.
 * @param {string} path
 * @param {FormData | string} body  a string is sent as JSON
 * @param {{signal?: AbortSignal, progress?: (share: number) => void}} [options]
 * @returns {Promise<Reply>}
 * @throws {Problem}
 */
export function post(path, body, { signal, progress } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const keyed = hasKey();
    const started = performance.now();
    request.open("POST", path);
    if (typeof body === "string") request.setRequestHeader("Content-Type", "application/json");
    for (const [name, value] of Object.entries(keyHeader())) request.setRequestHeader(name, value);
    request.timeout = SILENCE;
    request.upload.onprogress = (event) => {
      request.timeout = performance.now() - started + SILENCE; // it counts from the start, and an upload may take long
      progress?.(event.total ? event.loaded / event.total : 0);
    };
    request.onerror = request.ontimeout = () => reject(new Problem({ code: "unreachable" }));
    request.onabort = () => reject(new DOMException("A newer request took its place.", "AbortError"));
    request.onload = () => {
      const answer = parse(request.responseText);
      if (request.status >= 300 || answer === null) reject(toProblem(request.status, answer, keyed, request.getResponseHeader("Retry-After")));
      else
        resolve({
          body: answer,
          stages: request.getResponseHeader("Server-Timing") ?? "",
          milliseconds: performance.now() - started,
        });
    };
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

/**
 * Gets a path of the service.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 * @throws {Problem}
 */
export async function get(path, signal) {
  const keyed = hasKey();
  const running = new AbortController();
  if (signal?.aborted) running.abort();
  signal?.addEventListener("abort", () => running.abort());
  const timer = setTimeout(() => running.abort(), SILENCE);
  const response = await fetch(path, { headers: keyHeader(), signal: running.signal }).catch(() => {
    throw new Problem({ code: "unreachable" });
  });
  clearTimeout(timer); // the rest may take long: a model has megabytes
  if (!response.ok) throw toProblem(response.status, parse(await response.text()), keyed, response.headers.get("Retry-After"));
  return response;
}

/**
 * Gets a path of the service that answers JSON.
 * @param {string} path
 * @returns {Promise<any>}
 * @throws {Problem}
 */
export async function getJson(path) {
  const response = await get(path);
  const answer = parse(await response.text());
  if (answer === null) throw toProblem(response.status, answer);
  return answer;
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy's page, in place of our JSON
  }
}

/**
 * A failure as a problem. What is not the service's JSON came from something in between, such as a proxy or a login page.
 * @param {number} status
 * @param {any} body
 * @param {boolean} [keyed]  whether a key was sent
 * @param {string | null} [retryAfter]
 */
function toProblem(status, body, keyed = false, retryAfter = null) {
  const between = status < 300 || status >= 502;
  const known = body?.code ? body : { code: between ? "unreachable" : "unknown", detail: `HTTP ${status}`, status };
  const code = keyed && known.code === "unauthorized" ? "unknown-key" : known.code;
  return new Problem({ ...known, code }, Number(retryAfter) || 0);
}
