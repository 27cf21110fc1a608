"""Reading as a library: every kind of source, and no part of the service."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.errors import ImageTooLarge, NoDigitFound, UnreadableImage, UnsupportedImage
from app.reading import DefaultLimits, Prediction, Reader, Trace
from app.reading.reader import Source
from benchmarks.pictures import WHITE, canvas, encode, photo
from tests.versions import SHIPPED

SEVEN = canvas(7)
ROOT = Path(__file__).parents[3]

SOURCES: dict[str, Source] = {
    "bytes": encode(SEVEN),
    "a PIL image": SEVEN,
    "a PIL image in grey": SEVEN.convert("L"),
    "a transparent PIL image": canvas(7, ground=None),
    "a PIL image in grey, multiplied by its alpha": canvas(7, ground=None).convert("LA").convert("La"),
    "a PIL image multiplied by its alpha": canvas(7, ground=None).convert("RGBa"),
    "an array (H, W)": np.asarray(SEVEN.convert("L")),
    "an array (H, W, 3)": np.asarray(SEVEN),
    "an array (H, W, 4)": np.asarray(canvas(7, ground=None)),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_picture_is_read_from_every_kind_of_source(reader: Reader, source: Source) -> None:
    prediction = reader.read(source)

    assert (prediction.digit, prediction.accepted) == (7, True)
    assert prediction.box == reader.read(encode(SEVEN)).box


def test_a_file_is_read_by_its_path(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "seven.jpg"
    path.write_bytes(encode(photo(7), "JPEG"))

    assert reader.read(path) == reader.read(str(path)) == reader.read(path.read_bytes())
    with pytest.raises(FileNotFoundError):
        reader.read(tmp_path / "none.png")


def test_an_image_is_turned_as_its_exif_says(reader: Reader, tmp_path: Path) -> None:
    lying = photo(7).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "lying.jpg"
    lying.save(path, exif=exif)

    with Image.open(path) as image:
        assert reader.read(image).digit == reader.read(path).digit == 7


def test_a_list_is_read_together_and_a_failure_does_not_affect_the_others(reader: Reader, tmp_path: Path) -> None:
    seven, nothing, blank, three = reader.read(
        [SEVEN, tmp_path / "none.png", Image.new("RGB", (90, 90), WHITE), np.asarray(canvas(3))]
    )

    assert isinstance(seven, Prediction)
    assert isinstance(three, Prediction)
    assert (seven.digit, three.digit) == (7, 3)
    assert isinstance(nothing, FileNotFoundError)
    assert isinstance(blank, NoDigitFound)


@pytest.mark.parametrize(
    "array",
    [np.zeros((28, 28), np.float32), np.zeros((28,), np.uint8), np.zeros((28, 28, 2), np.uint8), np.zeros((0, 28), np.uint8)],
    ids=["floats", "a row", "two channels", "nothing"],
)
def test_an_unsupported_array_is_refused_with_its_shape(reader: Reader, array: NDArray[Any]) -> None:
    with pytest.raises(UnsupportedImage, match="The array has the shape"):
        reader.read(array)


def test_a_truncated_pil_image_is_unreadable(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(encode(photo(7), "JPEG")[:9_000])

    with Image.open(path) as image, pytest.raises(UnreadableImage):
        reader.read(image)


def test_the_caller_sets_the_limits() -> None:
    strict = Reader.load(version=SHIPPED, limits=DefaultLimits(max_pixels=10_000))

    with pytest.raises(ImageTooLarge):
        strict.read(encode(SEVEN))


def test_a_trace_holds_the_intermediate_results(reader: Reader) -> None:
    trace = Trace()

    reader.read(encode(SEVEN), trace=trace)

    assert trace.picture
    assert trace.steps
    assert trace.measured == (trace.steps.glyph.measurements,)
    assert list(trace.seconds) == ["decode", "find", "infer"]


@pytest.mark.parametrize(
    "program",
    [
        "from app.reading import Reader; assert Reader.load().read('docs/examples/seven.jpg').digit == 7",
        "import app.bulk.processes, app.bulk.run",
        "import app.evaluation.report, app.evaluation.tables",
        "import sys; from app.cli.app import cli; cli(['predict', 'docs/examples/seven.jpg'], standalone_mode=False)",
    ],
    ids=["reading", "a bulk worker", "evaluation", "numeral predict"],
)
def test_reading_does_not_load_the_web_stack(program: str) -> None:
    banned = ("fastapi", "starlette", "uvicorn", "prometheus_client", "opentelemetry")
    check = f"{program}\nimport sys\nprint([name for name in {banned} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True, capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_reading_knows_neither_settings_nor_metrics() -> None:
    program = (
        "import sys, app.reading; print([name for name in sys.modules if name.startswith(('app.settings', 'app.telemetry'))])"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "[]"
