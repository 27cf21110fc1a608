// The client in Node, against the service at NUMERAL_URL; NUMERAL_EXAMPLES names the folder of example pictures.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";

import { Client, ProblemError, fromCanvas, fromFile, fromUri } from "../dist/index.js";

const url = process.env.NUMERAL_URL;
const seven = await readFile(`${process.env.NUMERAL_EXAMPLES}/seven.jpg`);
const three = await readFile(`${process.env.NUMERAL_EXAMPLES}/three.png`);

const SOURCES = {
  bytes: new Uint8Array(seven),
  "an ArrayBuffer": new Uint8Array(seven).buffer,
  "a Blob": new Blob([seven], { type: "image/jpeg" }),
  "a file": await fromFile(new Blob([seven], { type: "image/jpeg" })),
  "a data: URI": await fromUri(`data:image/jpeg;base64,${seven.toString("base64")}`),
};

/** A server that answers with each refusal in turn and then with success, and keeps what it got. */
async function refusing(refusals, run) {
  const got = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) {
      parts.push(part);
    }
    got.push({ body: Buffer.concat(parts), headers: request.headers, url: request.url });
    const [status, headers, body] = refusals.shift() ?? [200, {}, '{"digit": 3, "box": {"x": 1, "y": 2, "width": 3, "height": 4}}'];
    response.writeHead(status, headers).end(body ?? "<html>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run(`http://127.0.0.1:${server.address().port}`, got);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe("the real service", () => {
  const client = new Client(`${url}/`);

  for (const [name, picture] of Object.entries(SOURCES)) {
    test(`reads ${name}`, async () => {
      assert.equal((await client.predict(picture)).digit, 7);
    });
  }

  test("gives the glyph on request", async () => {
    assert.match((await client.predict(three, { includeGlyph: true })).glyph, /^data:image\/png;base64,/);
    assert.equal((await client.predict(three)).glyph, null);
  });

  test("answers each picture of a batch in order", async () => {
    const results = await client.predictBatch([seven, new Blob(["text"]), await fromFile(new Blob([three]))]);
    assert.deepEqual(results.map((result) => result.digit ?? result.code), [7, "unsupported-image", 3]);
  });

  test("reads whole numbers", async () => {
    assert.equal((await client.read(seven)).text, "7");
    assert.equal((await client.read(seven, { count: 1, includeGlyph: true })).digits.length, 1);
    const results = await client.readBatch([seven, new Blob(["text"])]);
    assert.deepEqual(results.map((result) => result.text ?? result.code), ["7", "unsupported-image"]);
  });

  test("tells model and health", async () => {
    assert.equal((await client.model()).name, "digits");
    assert.equal((await client.ready()).status, "ready");
  });

  test("rejects with a problem", async () => {
    await assert.rejects(client.predict(new Blob(["text"])), (error) => {
      assert.ok(error instanceof ProblemError && error instanceof Error);
      assert.equal(error.code, "unsupported-image");
      assert.equal(error.status, 415);
      assert.match(error.requestId, /^[0-9a-f]{32}$/);
      return true;
    });
  });

  test("is aborted", async () => {
    await assert.rejects(client.predict(seven, { signal: AbortSignal.abort() }), { name: "AbortError" });
  });
});

describe("retries", () => {
  for (const [name, refusals] of [
    ["an overloaded service", Array(3).fill([503, { "Retry-After": "0" }])],
    ["a limit", [[429, { "Retry-After": "0" }]]],
    ["a date", [[503, { "Retry-After": new Date(0).toUTCString() }]]],
    ["no time", [[503, {}]]],
  ]) {
    test(`sends the same bytes again after ${name}`, async () => {
      const tries = refusals.length + 1;
      await refusing([...refusals], async (address, got) => {
        assert.equal((await new Client(address).predict(seven)).digit, 3);
        assert.equal(got.length, tries);
        assert.ok(got.every(({ body }) => body.equals(seven)));
      });
    });
  }

  for (const [name, refusals, options, tries] of [
    ["too often", Array(9).fill([503, { "Retry-After": "0" }]), {}, 4],
    ["once", Array(9).fill([503, { "Retry-After": "0" }]), { retries: 1 }, 2],
    ["an hour", [[503, { "Retry-After": "3600" }]], {}, 1],
    ["a fault", [[500, {}]], {}, 1],
    ["a login page", [[200, {}]], {}, 1],
  ]) {
    test(`rejects after ${name}`, async () => {
      const code = `http-${refusals[0][0]}`;
      await refusing([...refusals], async (address, got) => {
        await assert.rejects(new Client(address, options).predict(seven), { name: "ProblemError", code });
        assert.equal(got.length, tries);
      });
    });
  }

  test("an abort ends the wait", async () => {
    const controller = new AbortController();
    await refusing([[503, { "Retry-After": "3600" }]], async (address, got) => {
      const call = new Client(address, { mostWait: 1e9, fetch: async (...request) => {
        const response = await fetch(...request);
        setTimeout(() => controller.abort(), 10);
        return response;
      } }).predict(seven, { signal: controller.signal });
      await assert.rejects(call, { name: "AbortError" });
      assert.equal(got.length, 1);
    });
  });

  test("a service that does not answer is given up", async () => {
    const silent = createServer(() => {});
    await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const client = new Client(`http://127.0.0.1:${silent.address().port}`, { timeout: 50 });
    await assert.rejects(client.predict(seven), { name: "TimeoutError" });
    silent.closeAllConnections();
    silent.close();
  });
});

describe("what is sent", () => {
  test("the key", async () => {
    await refusing([], async (address, got) => {
      await new Client(address, { apiKey: "secret" }).predict(seven);
      assert.equal(got[0].headers["x-api-key"], "secret");
      assert.equal(got[0].headers["content-type"], "application/octet-stream");
    });
  });

  test("strokes", async () => {
    await refusing([], async (address, got) => {
      await new Client(address).predictStrokes([[[1, 2], [3.5, 4]]], { width: 5 });
      assert.equal(got[0].url, "/predict/strokes");
      assert.equal(String(got[0].body), '{"strokes":[[[1,2],[3.5,4]]],"width":5}');
    });
  });

  test("boxes are those of the original", async () => {
    await refusing([], async (address) => {
      const { box } = await new Client(address).predict({ data: seven, scale: 0.5 });
      assert.deepEqual(box, { x: 2, y: 4, width: 6, height: 8 });
    });
  });
});

describe("pictures", () => {
  test("a canvas as PNG", async () => {
    const blob = new Blob([three], { type: "image/png" });
    const asked = [];
    const old = { toBlob: (take, type) => (asked.push(type), take(blob)) };
    const offscreen = { convertToBlob: async ({ type }) => (asked.push(type), blob) };
    for (const canvas of [old, offscreen]) {
      assert.deepEqual(await fromCanvas(canvas), { data: blob, scale: 1 });
    }
    assert.deepEqual(asked, ["image/png", "image/png"]);
    await assert.rejects(fromCanvas({ toBlob: (take) => take(null) }), /width or height is 0/);
    await assert.rejects(fromCanvas({}), /neither toBlob nor convertToBlob/);
  });

  test("a large file is sent as it is, where nothing can shrink it", async () => {
    const blob = new Blob([new Uint8Array(2 ** 20)], { type: "image/jpeg" });
    assert.equal((await fromFile(blob)).data, blob);
  });

  test("a URI that is not there", async () => {
    await assert.rejects(fromUri(`${url}/nowhere`), /nowhere cannot be fetched: 404/);
  });
});

describe("React Native", () => {
  const original = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  before(() => Object.defineProperty(globalThis, "navigator", { value: { product: "ReactNative" }, configurable: true }));
  after(() => (original ? Object.defineProperty(globalThis, "navigator", original) : delete globalThis.navigator));

  for (const [uri, name, type] of [
    ["file:///data/user/0/cache/ImagePicker/a1.jpeg", "a1.jpeg", "image/jpeg"],
    ["content://media/external/images/media/12", "12", "image/jpeg"],
    ["file:///tmp/IMG_0001.HEIC?x=1", "IMG_0001.HEIC", "image/heic"],
    ["file:///tmp/drawing.png", "drawing.png", "image/png"],
    ["ph://", "photo.jpg", "image/jpeg"],
  ]) {
    test(`a file stays with the system: ${uri}`, async () => {
      assert.deepEqual(await fromUri(uri), { data: { uri, name, type }, scale: 1 });
    });
  }

  test("a file goes into a form, as its FormData takes it", async () => {
    const parts = [];
    const Real = globalThis.FormData;
    globalThis.FormData = class {
      append(...part) {
        parts.push(part);
      }
    };
    try {
      const answer = { digit: 7, box: { x: 1, y: 2, width: 3, height: 4 } };
      const client = new Client("http://phone", { fetch: async () => new Response(JSON.stringify({ ...answer, results: [answer] })) });
      const picture = await fromUri("file:///a.png");
      assert.equal((await client.predict(picture)).digit, 7);
      assert.equal((await client.predictBatch([picture]))[0].digit, 7);
      assert.deepEqual(parts, [["file", picture.data], ["files", picture.data]]);
    } finally {
      globalThis.FormData = Real;
    }
  });
});
