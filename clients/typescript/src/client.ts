// Calls the service by fetch. It uses nothing that React Native lacks: neither URL, AbortSignal.any nor Blobs of bytes.

import { isNative, toPicture, type Picture, type Source } from "./pictures.js";
import type { BatchResult, Box, Health, ModelInfo, Prediction, Problem, Reading, ReadingBatchResult } from "./types.js";

export interface ClientOptions {
  apiKey?: string;
  /** Milliseconds for each try; 30,000 unless given. */
  timeout?: number;
  /** Tries after 503 and 429; 3 unless given. */
  retries?: number;
  /** Most milliseconds before another try; 30,000 unless given. Where the service asks for more, its problem is thrown. */
  mostWait?: number;
  /** Another fetch, such as Expo's. */
  fetch?: typeof fetch;
}

export interface CallOptions {
  /** Aborts the call, and the wait before another try. */
  signal?: AbortSignal;
  /** Asks for the 28×28 glyph that the model saw. */
  includeGlyph?: boolean;
}

export interface ReadOptions extends CallOptions {
  /** How many digits there are, if you know. */
  count?: number;
}

export type Point = readonly [x: number, y: number];

/** The service gave no answer: its problem, with a stable code and a sentence for people. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.detail}`);
  }

  get code(): string {
    return this.problem.code;
  }

  get status(): number {
    return this.problem.status;
  }

  get requestId(): string {
    return this.problem.request_id;
  }
}

const AGAIN = [429, 503]; // answers after which the same request may succeed
const FIRST_WAIT = 500; // milliseconds, where the answer does not say how long; doubled each time
const NEVER = new AbortController().signal;

/** Every method rejects with a ProblemError where the service gives no answer, and as fetch does where it is not reached. */
export class Client {
  private readonly url: string;

  constructor(url: string, private readonly options: ClientOptions = {}) {
    this.url = url.replace(/\/+$/, "");
  }

  /** The digit in a picture. */
  async predict(source: Source, options: CallOptions = {}): Promise<Prediction> {
    const { data, scale } = toPicture(source);
    const answer = isNative(data)
      ? await this.send<Prediction>("POST", "/predict", form("file", [data]), options)
      : await this.send<Prediction>("POST", "/predict", data as BodyInit, options, "application/octet-stream");
    return inOriginal(answer, scale);
  }

  /** The digit in each picture, or why there is none, in order. A bad picture rejects nothing. */
  async predictBatch(sources: readonly Source[], options: CallOptions = {}): Promise<Array<Prediction | Problem>> {
    const pictures = sources.map(toPicture);
    const body = form("files", pictures.map((picture) => picture.data));
    const { results } = await this.send<BatchResult>("POST", "/predict/batch", body, options);
    return results.map((result, place) => ("digit" in result ? inOriginal(result, pictures[place]?.scale ?? 1) : result));
  }

  /** The digit in strokes of points, y downwards. width: of the pen, in the same unit. */
  async predictStrokes(strokes: ReadonlyArray<readonly Point[]>, options: CallOptions & { width?: number } = {}): Promise<Prediction> {
    const body = JSON.stringify({ strokes, width: options.width });
    return this.send<Prediction>("POST", "/predict/strokes", body, options, "application/json");
  }

  /** All digits in a picture, in lines. */
  async read(source: Source, options: ReadOptions = {}): Promise<Reading> {
    const { data, scale } = toPicture(source);
    const answer = isNative(data)
      ? await this.send<Reading>("POST", "/read", form("file", [data]), options)
      : await this.send<Reading>("POST", "/read", data as BodyInit, options, "application/octet-stream");
    return allInOriginal(answer, scale);
  }

  /** All digits in each picture, or why there are none, in order. A bad picture rejects nothing. */
  async readBatch(sources: readonly Source[], options: CallOptions = {}): Promise<Array<Reading | Problem>> {
    const pictures = sources.map(toPicture);
    const body = form("files", pictures.map((picture) => picture.data));
    const { results } = await this.send<ReadingBatchResult>("POST", "/read/batch", body, options);
    return results.map((result, place) => ("text" in result ? allInOriginal(result, pictures[place]?.scale ?? 1) : result));
  }

  /** The model that answers. */
  async model(options: CallOptions = {}): Promise<ModelInfo> {
    return this.send<ModelInfo>("GET", "/model", null, options);
  }

  /** Whether the service can answer; rejects if it cannot, once the retries are used up. */
  async ready(options: CallOptions = {}): Promise<Health> {
    return this.send<Health>("GET", "/health/ready", null, options);
  }

  private async send<T>(method: string, path: string, body: BodyInit | null, options: ReadOptions, type?: string): Promise<T> {
    const query = [...(options.includeGlyph ? ["include=glyph"] : []), ...(options.count ? [`count=${options.count}`] : [])];
    const url = this.url + path + (query.length ? `?${query.join("&")}` : "");
    const headers: Record<string, string> = { Accept: "application/json" };
    if (type) {
      headers["Content-Type"] = type;
    }
    if (this.options.apiKey) {
      headers["X-API-Key"] = this.options.apiKey;
    }
    const signal = options.signal ?? NEVER;
    for (let tries = 1; ; tries += 1) {
      const [response, text] = await this.within(signal, async (inner) => {
        const response = await (this.options.fetch ?? fetch)(url, { method, headers, body, signal: inner });
        return [response, await response.text()] as const;
      });
      const wait = tries <= (this.options.retries ?? 3) ? millisecondsToWait(response, tries) : null;
      if (wait === null || wait > (this.options.mostWait ?? 30_000)) {
        return answer<T>(response, text);
      }
      await pause(wait, signal);
    }
  }

  /** Calls fetch, and aborts it when the signal says so or the time is over. */
  private async within<T>(signal: AbortSignal, call: (inner: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const timeout = this.options.timeout ?? 30_000;
    let isLate = false;
    const abort = () => controller.abort();
    const timer = setTimeout(() => {
      isLate = true;
      abort();
    }, timeout);
    signal.addEventListener("abort", abort);
    try {
      if (signal.aborted) {
        throw named("AbortError", "The call was aborted.");
      }
      return await call(controller.signal);
    } catch (error) {
      throw isLate ? named("TimeoutError", `The service did not answer within ${timeout} ms.`) : error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }
}

function form(field: string, every: ReadonlyArray<Picture["data"]>): FormData {
  const body = new FormData();
  every.forEach((data, place) => {
    if (isNative(data)) {
      body.append(field, data as unknown as Blob); // as React Native's FormData takes a file
    } else {
      body.append(field, data instanceof Blob ? data : new Blob([data as BlobPart]), String(place));
    }
  });
  return body;
}

function answer<T>(response: Response, text: string): T {
  let told: unknown;
  try {
    told = JSON.parse(text);
  } catch {
    told = null;
  }
  if (response.ok && told !== null) {
    return told as T;
  }
  const problem = told as Problem | null;
  if (typeof problem?.code === "string") {
    throw new ProblemError(problem);
  }
  const { status, statusText: title } = response; // not the service's answer, but a proxy's
  const request_id = response.headers.get("X-Request-ID") ?? "";
  throw new ProblemError({ title, status, detail: text.slice(0, 200) || title, code: `http-${status}`, request_id });
}

/** How long to wait before another try; null where there should be none. */
function millisecondsToWait(response: Response, tries: number): number | null {
  if (!AGAIN.includes(response.status)) {
    return null;
  }
  const told = response.headers.get("Retry-After") ?? "";
  const seconds = told.trim() === "" ? NaN : Number(told);
  const milliseconds = Number.isNaN(seconds) ? Date.parse(told) - Date.now() : 1000 * seconds;
  return Number.isNaN(milliseconds) ? FIRST_WAIT * 2 ** (tries - 1) * (1 + Math.random() / 2) : Math.max(0, milliseconds);
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(named("AbortError", "The call was aborted."));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", abort);
    if (signal.aborted) {
      abort();
    }
  });
}

function named(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

/** The prediction with its box in pixels of the original picture. */
function inOriginal(prediction: Prediction, scale: number): Prediction {
  return scale === 1 ? prediction : enlarged(prediction, scale);
}

/** The reading with all of its boxes in pixels of the original picture. */
function allInOriginal(reading: Reading, scale: number): Reading {
  const grow = <T extends { box: Box }>(every: T[]): T[] => every.map((each) => enlarged(each, scale));
  return scale === 1
    ? reading
    : { ...reading, lines: grow(reading.lines), digits: grow(reading.digits), marks: grow(reading.marks) };
}

function enlarged<T extends { box: Box }>(boxed: T, scale: number): T {
  const { x, y, width, height } = boxed.box;
  const grow = (side: number) => Math.round(side / scale);
  return { ...boxed, box: { x: grow(x), y: grow(y), width: grow(width), height: grow(height) } };
}
