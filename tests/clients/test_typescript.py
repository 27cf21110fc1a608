"""The client for TypeScript, against the real service: in Node, and in Chromium from a page of another origin."""

import base64
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from clients.generate import CLIENTS
from tests.page.hand import find_chromium, open_browser

ROOT = CLIENTS.parent
PACKAGE = CLIENTS / "typescript"
EXAMPLES = ROOT / "docs" / "examples"
COMPILER = PACKAGE / "node_modules" / "typescript" / "bin" / "tsc"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, compiled."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    if not COMPILER.is_file():
        pytest.skip("TypeScript is not here; `make test-clients` fetches it")
    copy = tmp_path_factory.mktemp("typescript") / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    done = subprocess.run(["node", str(COMPILER), "-p", str(copy)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy


def test_the_client_works_in_node(built: Path, address: str) -> None:
    environment = {**os.environ, "NUMERAL_URL": address, "NUMERAL_EXAMPLES": str(EXAMPLES)}

    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "test/client.test.mjs"],
        cwd=built, env=environment, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert int(re.search(r"# pass (\d+)", done.stdout)[1]) > 30  # type: ignore[index]


def test_the_client_depends_on_nothing(built: Path) -> None:
    for path in (built / "dist").glob("*.js"):
        assert set(re.findall(r"from [\"']([^\"']+)|import\([\"']([^\"']+)", path.read_text("utf-8"))) <= {
            ("./client.js", ""), ("./pictures.js", ""),
        }  # fmt: skip
    assert '"dependencies"' not in (PACKAGE / "package.json").read_text("utf-8")


PRELUDE = """
declare const input: HTMLInputElement;
declare const output: HTMLOutputElement;
declare const canvas: HTMLCanvasElement;
declare module "expo-image-picker" {
  export function launchCameraAsync(options: { quality: number }): Promise<{ canceled: boolean; assets: Array<{ uri: string }> }>;
}
"""


def test_the_documents_typescript_fits_the_client(built: Path) -> None:
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```typescript\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    folder = built.with_name("examples")  # without a tsconfig.json
    folder.mkdir()
    (folder / "prelude.d.ts").write_text(PRELUDE, encoding="utf-8")
    for place, code in enumerate(blocks):
        (folder / f"example{place}.ts").write_text(
            code.replace("numeral-digits-client", "../package/dist/index.js"), encoding="utf-8"
        )

    done = subprocess.run(
        ["node", str(COMPILER), "--noEmit", "--strict", "--target", "ES2022", "--module", "ES2022", "--moduleResolution", "bundler",
         "--noUncheckedIndexedAccess", "--lib", "ES2022,DOM", "prelude.d.ts", *(f"example{place}.ts" for place in range(len(blocks)))],
        cwd=folder, check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert len(blocks) == 2
    assert done.returncode == 0, done.stdout


class Quiet(SimpleHTTPRequestHandler):
    """Serves the files of a folder."""

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def page(built: Path) -> Iterator[Page]:
    """An empty page of another origin, in Chromium."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("Chromium is not installed; `apt install chromium` installs it")
    (built / "empty.html").write_text("<!doctype html><title>Empty</title>", encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(built))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with open_browser(chromium) as browser:
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{server.server_port}/empty.html")
                yield page
        finally:
            server.shutdown()
            thread.join()


DRAW = """
async ([address, seven]) => {
  const { Client, fromCanvas, fromFile, fromUri } = await import("/dist/index.js");
  const client = new Client(address);
  const canvas = Object.assign(document.createElement("canvas"), { width: 280, height: 280 });
  const pen = canvas.getContext("2d");
  Object.assign(pen, { lineWidth: 22, lineCap: "round" });
  pen.moveTo(150, 50);
  pen.lineTo(135, 230);
  pen.stroke();
  const offscreen = new OffscreenCanvas(280, 280);
  offscreen.getContext("2d").drawImage(canvas, 0, 0);

  const bytes = Uint8Array.from(atob(seven), (letter) => letter.charCodeAt(0));
  const small = await createImageBitmap(new Blob([bytes]));
  const large = new OffscreenCanvas(4000, Math.round(4000 * small.height / small.width));
  const context = large.getContext("2d");
  context.drawImage(small, 0, 0, large.width, large.height);
  const noise = context.getImageData(0, 0, 1500, 1000);  // so that it is heavy
  for (let place = 0; place < noise.data.length; place += 4) noise.data[place] -= (place * 2654435761 >>> 28);
  context.putImageData(noise, 0, 0);
  const photo = await large.convertToBlob({ type: "image/jpeg", quality: 0.97 });
  const picture = await fromFile(photo);
  const sent = await createImageBitmap(picture.data);
  const asItIs = await client.predict(photo);
  const shrunk = await client.predict(picture);
  const uri = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  let problem = null;
  try { await client.predict(new Blob(["text"])); } catch (error) { problem = error.code; }
  return {
    drawn: (await client.predict(await fromCanvas(canvas))).digit,
    offscreen: (await client.predict(await fromCanvas(offscreen))).digit,
    uri: (await client.predict(await fromUri(uri))).digit,
    batch: (await client.predictBatch([picture, await fromCanvas(canvas)])).map((result) => result.digit),
    batchBox: (await client.predictBatch([picture]))[0].box,
    sizes: [photo.size, picture.data.size], sides: [sent.width, sent.height], scale: picture.scale,
    asItIs, shrunk, problem, ratio: small.height / small.width,
    untouched: (await fromFile(new Blob([bytes], { type: "image/jpeg" }))).scale,
    heic: (await fromFile(new Blob([new Uint8Array(2 ** 20)], { type: "image/heic" }))).scale,
  };
}
"""


def test_the_client_works_in_chromium(page: Page, address: str) -> None:
    seven = base64.b64encode((EXAMPLES / "seven.jpg").read_bytes()).decode("ascii")

    told = page.evaluate(DRAW, [address, seven])

    assert (told["drawn"], told["offscreen"], told["uri"], told["batch"]) == (1, 1, 7, [7, 1])
    assert told["problem"] == "unsupported-image"
    assert told["sides"] == [2048, round(2048 * told["ratio"])]
    assert told["scale"] == pytest.approx(0.512)
    assert told["sizes"][1] < told["sizes"][0] / 2
    assert (told["asItIs"]["digit"], told["shrunk"]["digit"]) == (7, 7)
    assert told["shrunk"]["box"] == pytest.approx(told["asItIs"]["box"], abs=40)  # of 4,000 pixels
    assert told["batchBox"] == told["shrunk"]["box"]
    assert (told["untouched"], told["heic"]) == (1, 1)  # small, and of a format that the browser cannot read
