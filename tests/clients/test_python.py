"""The client for Python, against the real service."""

import asyncio
import inspect
import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.settings import Settings
from benchmarks.pictures import canvas, encode, row
from tests.clients.conftest import Refusal, refusing
from tests.servers import serving
from tests.versions import SHIPPED

pytest.importorskip("httpx", reason="httpx is not installed; `make test` installs it")

import numeral_client.calls
from numeral_client import AsyncClient, Client, ProblemError

DRAWING = canvas(3)
DATA = encode(DRAWING)
INK = canvas(3, ground=None)  # transparent around it
GREY = np.asarray(DRAWING.convert("L")) // 2 + 60  # no level is black or white

Do = Callable[[Any], Any]  # with a client


def call(way: str, address: str, do: Do, **options: Any) -> Any:
    """What a client of either kind answers."""
    if way == "sync":
        with Client(address, **options) as client:
            return do(client)

    async def wait() -> Any:
        async with AsyncClient(address, **options) as client:
            return await do(client)

    return asyncio.run(wait())


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def as_path(folder: Path) -> Path:
    (folder / "three.png").write_bytes(DATA)
    return folder / "three.png"


PICTURES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: DATA,
    "bytearray": lambda _: bytearray(DATA),
    "memoryview": lambda _: memoryview(DATA),
    "path": as_path,
    "path as text": lambda folder: str(as_path(folder)),
    "open file": lambda _: io.BytesIO(DATA),
    "PIL": lambda _: DRAWING,
    "PIL, palette": lambda _: DRAWING.convert("P"),
    "PIL, CMYK": lambda _: Image.alpha_composite(Image.new("RGBA", DRAWING.size, "white"), DRAWING.convert("RGBA")).convert("CMYK"),
    "PIL, 16 bits": lambda _: Image.fromarray(GREY.astype(np.uint16) * 257),
    "PIL, 16 bits of 32": lambda _: Image.fromarray(GREY.astype(np.int32) * 257),
    "PIL, 8 bits of 32": lambda _: Image.fromarray(GREY.astype(np.int32)),
    "PIL, transparent": lambda _: INK,
    "PIL, transparent palette": lambda _: INK.convert("PA"),
    "PIL, colours times alpha": lambda _: INK.convert("RGBa"),
    "PIL, grey times alpha": lambda _: INK.convert("LA").convert("La"),
    "array (H, W, 4)": lambda _: np.asarray(DRAWING.convert("RGBA")),
    "array (H, W, 3), not contiguous": lambda _: np.asarray(DRAWING.convert("RGB"))[:, ::-1][:, ::-1],
    "array (H, W, 1)": lambda _: np.asarray(DRAWING.convert("L"))[:, :, None],
    "array (H, W)": lambda _: np.asarray(DRAWING.convert("L")),
    "array of bool": lambda _: np.asarray(DRAWING.convert("L")) > 127,
}  # fmt: skip


@pytest.mark.parametrize("form", PICTURES)
def test_a_picture_may_come_in_any_form(form: str, address: str, tmp_path: Path) -> None:
    with Client(address) as client:
        assert client.predict(PICTURES[form](tmp_path))["digit"] == 3


def test_both_clients_give_the_services_answer(way: str, address: str) -> None:
    answer = call(way, address, lambda client: client.predict(DATA, include_glyph=True))

    assert answer["digit"] == 3
    assert len(answer["probabilities"]) == 10
    assert answer["model"] == {"name": "digits", "version": SHIPPED}
    assert answer["glyph"].startswith("data:image/png;base64,")


def test_a_photo_is_sent_upright(address: str) -> None:
    lying = DRAWING.convert("L").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    file = io.BytesIO()
    lying.save(file, "JPEG", exif=exif)

    with Client(address) as client:
        image = Image.open(io.BytesIO(file.getvalue()))
        assert client.predict(image)["box"] == pytest.approx(client.predict(file.getvalue())["box"], abs=2)


def test_a_batch_answers_each_picture_in_order(way: str, address: str) -> None:
    five = Path(__file__).parents[2] / "docs" / "examples" / "five.png"

    answers = call(way, address, lambda client: client.predict_batch([DATA, b"text", five]))

    assert [answer.get("digit", answer.get("code")) for answer in answers] == [3, "unsupported-image", 5]


def test_whole_numbers_are_read_with_and_without_their_count(way: str, address: str) -> None:
    picture = encode(row("35", 0.3))

    reading = call(way, address, lambda client: client.read(picture, include_glyph=True))
    told = call(way, address, lambda client: client.read(picture, count=2))
    several = call(way, address, lambda client: client.read_batch([picture, b"text"]))

    assert (reading["text"], told["text"], len(reading["digits"])) == ("35", "35", 2)
    assert reading["digits"][0]["glyph"]
    assert [each.get("text", each.get("code")) for each in several] == ["35", "unsupported-image"]


def test_model_and_health_are_answered(way: str, address: str) -> None:
    assert call(way, address, lambda client: client.model())["version"] == SHIPPED
    assert call(way, address, lambda client: client.ready())["status"] == "ready"


def test_a_problem_is_raised_with_code_detail_and_id(way: str, address: str) -> None:
    with pytest.raises(ProblemError, match="unsupported-image: ") as raised:
        call(way, address, lambda client: client.predict(b"text"))

    assert (raised.value.code, raised.value.status) == ("unsupported-image", 415)
    assert raised.value.detail == raised.value.problem["detail"]
    assert len(raised.value.request_id) == 32


def test_a_key_is_sent(way: str) -> None:
    from app.web.access.keys import make_key  # noqa: PLC0415

    secret, kept = make_key("phone", "predict")
    with serving(Settings(model_version=SHIPPED, api_keys=[str(kept)])) as port:
        address = f"http://127.0.0.1:{port}"
        assert call(way, address, lambda client: client.predict(DATA), api_key=secret)["digit"] == 3
        with pytest.raises(ProblemError, match="unauthorized"):
            call(way, address, lambda client: client.predict(DATA))


def test_a_limited_client_waits_and_is_answered(way: str) -> None:
    with serving(Settings(model_version=SHIPPED, rate_limit="1/second")) as port:
        address = f"http://127.0.0.1:{port}"
        answers = [call(way, address, lambda client: client.predict(DATA)) for _ in range(2)]

    assert [answer["digit"] for answer in answers] == [3, 3]


def test_a_client_that_would_wait_an_hour_is_told_at_once(way: str) -> None:
    with serving(Settings(model_version=SHIPPED, rate_limit="1/hour")) as port:
        address = f"http://127.0.0.1:{port}"

        def ask_often() -> None:
            for _ in range(3):  # the first of them is refused, unless a busy database has counted the one before elsewhere
                call(way, address, lambda client: client.predict(DATA))

        assert call(way, address, lambda client: client.predict(DATA))["digit"] == 3
        with pytest.raises(ProblemError, match="rate-limited"):
            ask_often()


def now_as_date() -> str:
    return format_datetime(datetime.now(UTC) - timedelta(seconds=1), usegmt=True)


@pytest.mark.parametrize(
    "refusals",
    [
        [(503, {"Retry-After": "0"})] * 3,
        [(429, {"Retry-After": "0"})],
        [(503, {"Retry-After": now_as_date()})],
        [(503, {})],
    ],
    ids=["three times overloaded", "limited", "by date", "without a time"],
)
def test_the_same_bytes_are_sent_again(refusals: list[Refusal], way: str) -> None:
    with refusing(refusals) as (address, bodies):
        answer = call(way, address, lambda client: client.predict(io.BytesIO(DATA)))

    assert answer == {"digit": 3}
    assert bodies == [DATA] * (len(refusals) + 1)


@pytest.mark.parametrize(
    ("refusals", "options", "tries"),
    [
        ([(503, {"Retry-After": "0"})] * 9, {}, 4),
        ([(503, {"Retry-After": "0"})] * 9, {"retries": 1}, 2),
        ([(503, {"Retry-After": "3600"})], {}, 1),
        ([(500, {})], {}, 1),
        ([(413, {"Retry-After": "0"})], {}, 1),
    ],
    ids=["too often", "once", "an hour", "a fault", "too large"],
)
def test_other_refusals_are_raised(refusals: list[Refusal], options: dict[str, Any], tries: int, way: str) -> None:
    told = pytest.raises(ProblemError, match=f"http-{refusals[0][0]}: <html>")
    with refusing(refusals, b"<html>Service Unavailable</html>") as (address, bodies), told:
        call(way, address, lambda client: client.predict(DATA), **options)

    assert len(bodies) == tries


NO_ANSWERS = {
    "a login page": b"<html>Log in</html>",
    "nothing": b"",
    "null": b"null",
    "a list": b'["ok"]',
    "bytes that are not text": b"\xff\xfe{",
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_a_success_without_an_answer_is_a_problem(body: bytes, way: str) -> None:
    with refusing([(200, {})], body) as (address, _), pytest.raises(ProblemError, match="http-200: ") as raised:
        call(way, address, lambda client: client.predict(DATA))

    assert raised.value.status == 200


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (3, TypeError, "not int"),
        (None, TypeError, "not NoneType"),
        (np.zeros((28, 28)), TypeError, "not float64"),
        (Image.new("F", (28, 28)), TypeError, "not floats"),
        (Image.new("I", (28, 28), 65_536), ValueError, "not 65536 to 65536"),
        (Image.new("I", (28, 28), -1), ValueError, "not -1 to -1"),
        (np.zeros((2, 2, 2), np.uint8), ValueError, r"not \(2, 2, 2\)"),
        (np.zeros((0, 28), np.uint8), ValueError, r"not \(0, 28\)"),
        (np.zeros(784, np.uint8), ValueError, r"not \(784,\)"),
        ("gone.png", FileNotFoundError, "gone.png"),
    ],
    ids=[
        "number",
        "nothing",
        "floats",
        "floats of PIL",
        "17 bits",
        "below black",
        "two channels",
        "no pixels",
        "flat",
        "missing file",
    ],
)
def test_what_is_no_picture_is_explained(picture: Any, error: type[Exception], message: str) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(error, match=message):
        client.predict(picture)


def test_strokes_are_sent_as_the_service_takes_them(way: str) -> None:
    with refusing([]) as (address, bodies):
        call(way, address, lambda client: client.predict_strokes([[(1, 2), (3.5, 4)]], width=5))
        call(way, address, lambda client: client.predict_strokes([np.array([[1, 2]], np.float32)]))

    assert bodies == [b'{"strokes":[[[1.0,2.0],[3.5,4.0]]],"width":5}', b'{"strokes":[[[1.0,2.0]]]}']


def test_strokes_are_read(way: str, address: str) -> None:
    seven = [[(40, 40), (160, 40), (80, 240)]]

    assert call(way, address, lambda client: client.predict_strokes(seven))["digit"] == 7


def test_both_clients_have_the_same_methods_and_options() -> None:
    def shape(kind: type) -> dict[str, list[tuple[str, Any]]]:
        return {
            name: [(parameter.name, parameter.default) for parameter in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert shape(Client) == shape(AsyncClient)


def test_the_client_needs_nothing_but_httpx_and_what_a_picture_brings() -> None:
    needs = {"httpx", "numeral_client", "numpy", "PIL"}
    for path in Path(numeral_client.calls.__file__).parent.glob("*.py"):
        imported = {
            line.split()[1].partition(".")[0]
            for line in path.read_text("utf-8").splitlines()
            if line.lstrip().startswith(("import ", "from "))
        }
        assert imported - needs <= set(sys.stdlib_module_names), path.name
