"""The portable graph in onnxruntime-web: the documented program reads in Chromium what onnxruntime reads in Python."""

import base64
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.reading.infer.store import find_model
from app.settings import Settings
from app.web.page import onnxruntime_web
from benchmarks.pictures import canvas, photo
from tests.page.conftest import Open
from tests.versions import SHIPPED

pytestmark = pytest.mark.page

DOCS = Path(__file__).parents[2] / "docs" / "model-store.md"
RUNTIME = f"/page/{onnxruntime_web.VERSION}/{onnxruntime_web.FOLDER.name}/{onnxruntime_web.MODULE}"
GRAPH = "/model/file?edition=reader"

READ = """async ([program, files]) => {
  const { read } = await import(URL.createObjectURL(new Blob([program], { type: "text/javascript" })));
  const answers = [];
  for (const file of files) {
    const { boxes, probabilities, accepted, count } = await read(await (await fetch(`data:image/png;base64,${file}`)).blob());
    answers.push([boxes, probabilities, accepted, count].map(({ data }) => [...data].map(Number)));
  }
  return answers;
}"""


def documented_program(address: str) -> str:
    """The program for browsers, with the addresses of a service."""
    program: str
    (program,) = re.findall(r"^```js\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return program.replace('"./ort.wasm.bundle.min.mjs"', f'"{address}{RUNTIME}"').replace(
        '"model.onnx"', f'"{address}{GRAPH}"'
    )


def several() -> NDArray[np.uint8]:
    """Three digits side by side."""
    return np.concatenate([np.asarray(canvas(digit).convert("RGB")) for digit in (2, 8, 5)], axis=1)


PICTURES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "canvas": lambda: np.asarray(canvas(3).convert("RGB")),
    "photo": lambda: np.asarray(photo(7, (640, 480)).convert("RGB")),
    "several": several,
    "blank": lambda: np.full((60, 90, 3), 200, np.uint8),
}


def as_png(pixels: NDArray[np.uint8]) -> str:
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def test_the_documented_program_reads_in_the_browser_what_onnxruntime_reads(show: Open, address: str) -> None:
    if not onnxruntime_web.is_complete():
        pytest.skip("onnxruntime-web is not here; `make runtime` fetches it")
    session = ort.InferenceSession(find_model(Settings().model_store, "digits", SHIPPED).path("reader"))
    pictures = [make() for make in PICTURES.values()]

    answers: list[Any] = show(bypass_csp=True).page.evaluate(
        READ, [documented_program(address), [as_png(pixels) for pixels in pictures]]
    )

    names = ["boxes", "probabilities", "accepted", "count"]
    for name, pixels, answer in zip(PICTURES, pictures, answers, strict=True):
        boxes, probabilities, accepted, count = map(np.asarray, session.run(names, {"picture": pixels}))
        assert answer[3] == count.tolist() == [{"several": 3, "blank": 0}.get(name, 1)]
        assert [bool(each) for each in answer[2]] == accepted.tolist()
        np.testing.assert_allclose(answer[1], probabilities.ravel(), atol=1e-3)
        np.testing.assert_allclose(answer[0], boxes.ravel(), atol=0.05)
