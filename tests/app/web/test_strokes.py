"""Ink as points: read like a picture of it, in any unit, within limits."""

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.web.endpoints import MOST_POINTS, MOST_STROKES, NUMBER
from app.web.strokes import MARGIN, MOST_PEN, MOST_SIDE, SHAPE, draw, parse
from benchmarks.pictures import STROKES, smooth

PATH = "/predict/strokes"
WIDE, HIGH = 180.0, 300.0  # a digit's size in the points' unit


def ink(digit: int, width: float = WIDE, height: float = HIGH, x: float = 40, y: float = 25) -> list[list[list[float]]]:
    """The strokes of a digit with these sizes and upper left corner."""
    return [(smooth(np.array(stroke)) * (width, height) + (x, y)).tolist() for stroke in STROKES[digit]]


def ask(client: TestClient, body: object) -> dict[str, Any]:
    response = client.post(PATH, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_is_read_from_its_strokes(client: TestClient, digit: int) -> None:
    answer = ask(client, {"strokes": ink(digit)})

    assert (answer["digit"], answer["accepted"], answer["warnings"]) == (digit, True, [])
    assert answer["model"]["name"] == "digits"


@pytest.mark.parametrize("unit", [1e-6, 0.01, 10, 1e5])
@pytest.mark.parametrize("pen", [None, 5, 40])
def test_the_unit_of_the_points_makes_no_difference(client: TestClient, unit: float, pen: float | None) -> None:
    def scaled(by: float) -> dict[str, object]:
        strokes = [(np.array(stroke) * by).tolist() for stroke in ink(4)]
        return {"strokes": strokes, "width": None if pen is None else pen * by}

    expected, answer = ask(client, scaled(1)), ask(client, scaled(unit))

    assert answer["digit"] == 4
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=0.02)  # points are rounded to 1/16 pixel


@pytest.mark.parametrize("digit", [1, 4, 8])
@pytest.mark.parametrize("x", [-500.0, 0.0, 70_000.0])
def test_the_box_frames_the_points_in_their_unit(client: TestClient, digit: int, x: float) -> None:
    strokes, pen = ink(digit, x=x), 20
    points = np.concatenate([np.array(stroke) for stroke in strokes])

    box = ask(client, {"strokes": strokes, "width": pen})["box"]

    found = np.array([box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]])
    expected = np.concatenate([points.min(axis=0) - pen / 2, points.max(axis=0) + pen / 2])
    assert np.abs(found - expected).max() <= pen / 2


def test_the_width_of_the_pen_is_the_one_that_is_asked_for(client: TestClient) -> None:
    thin, thick = (draw([np.array([(0.0, 0.0), (0.0, 100.0)])], width) for width in (5, 25))

    columns = [int((drawing.pixels[drawing.pixels.shape[0] // 2, :, 0] < 128).sum()) for drawing in (thin, thick)]
    assert columns == pytest.approx([8, 40], abs=1)
    glyphs = [ask(client, {"strokes": ink(3), "width": width})["digit"] for width in (2, 30, 1e6)]
    assert glyphs == [3, 3, 3]


def test_the_glyph_is_returned_on_request(client: TestClient) -> None:
    response = client.post(f"{PATH}?include=glyph", json={"strokes": ink(3)})

    assert response.json()["glyph"].startswith("data:image/png;base64,")
    assert response.headers["server-timing"].startswith("find;dur=")


def test_a_byte_order_mark_and_empty_strokes_are_passed_over(client: TestClient) -> None:
    body = json.dumps({"strokes": [[], *ink(7), []], "app": "paper"}).encode()

    assert client.post(PATH, content=b"\xef\xbb\xbf" + body).json()["digit"] == 7


def test_several_digits_are_told(client: TestClient) -> None:
    answer = ask(client, {"strokes": [*ink(3), *ink(8, x=400)]})

    assert answer["digit"] in (3, 8)
    assert [warning["code"] for warning in answer["warnings"]] == ["several-digits"]


POINT = [1, 2]
WRONG: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 422, f"body: Invalid JSON: EOF while parsing a value at line 1 column 0; send {SHAPE}."),
    "no object": (b"[[[1, 2]]]", 422, f"body: Input should be an object; send {SHAPE}."),
    "another field": (b'{"points": []}', 422, f"strokes: Field required; the object has `points`; send {SHAPE}."),
    "no stroke": (b'{"strokes": []}', 422, f"strokes: List should have at least 1 item, not 0; send {SHAPE}."),
    "no point": (b'{"strokes": [[], []]}', 422, f"There is no point in the strokes; send {SHAPE}."),
    "points without a stroke": (b'{"strokes": [[1, 2]]}', 422, f"strokes.0.0: Input should be a valid array; send {SHAPE}."),
    "named coordinates": (b'{"strokes": [[{"x": 1, "y": 2}]]}', 422, f"strokes.0.0: Input should be a valid array; send {SHAPE}."),
    "one coordinate": (b'{"strokes": [[[1]]]}', 422, f"strokes.0.0.1: Field required; send {SHAPE}."),
    "three coordinates": (
        b'{"strokes": [[[1, 2, 3]]]}',
        422,
        f"strokes.0.0: Tuple should have at most 2 items, not 3; send {SHAPE}.",
    ),
    "text": (b'{"strokes": [[["1", 2]]]}', 422, f"strokes.0.0.0: Input should be a valid number; send {SHAPE}."),
    "no number": (
        b'{"strokes": [[[NaN, 2]]]}',
        422,
        f"strokes.0.0.0: Input should be a finite number; it is NaN; send {SHAPE}.",
    ),
    "infinity": (
        b'{"strokes": [[[1e999, 2]]]}',
        422,
        f"strokes.0.0.0: Input should be a finite number; it is Infinity; send {SHAPE}.",
    ),
    "far away": (
        b'{"strokes": [[[2e9, 2]]]}',
        422,
        f"strokes.0.0.0: Input should be less than or equal to 1000000000; it is 2000000000.0; send {SHAPE}.",
    ),
    "no pen": (b'{"strokes": [[[1, 2]]], "width": 0}', 422, f"width: Input should be greater than 0; it is 0; send {SHAPE}."),
    "many strokes": (json.dumps({"strokes": [[POINT]] * (MOST_STROKES + 1)}).encode(), 422, "There are more than"),
    "many points": (json.dumps({"strokes": [[POINT] * (MOST_POINTS + 1)]}).encode(), 422, "There are more than"),
    "depth": (b"[" * 100_000, 422, "There are more than"),
    "names": (b'{"a":1,' * 30_000, 422, "There are more than"),
    "many wrong points": (json.dumps({"strokes": [["a"] * 90] * 99}).encode(), 422, "There are more than"),
    "bytes beyond the limit": (b" " * (2 * MOST_POINTS * NUMBER + 1), 413, "The body is larger than the limit of 320,000 bytes."),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status", "told"), WRONG.values(), ids=WRONG.keys())
def test_anything_else_is_told_what_it_lacks(client: TestClient, body: bytes, status: int, told: str) -> None:
    response = client.post(PATH, content=body)

    assert response.status_code == status
    assert response.json()["code"] == {413: "upload-too-large", 422: "invalid-request"}[status]
    assert response.json()["detail"].startswith(told)


def test_as_many_points_and_strokes_as_are_allowed_are_read() -> None:
    each = MOST_POINTS // MOST_STROKES
    strokes, _ = parse(json.dumps({"strokes": [[[-123456.78901, 98765.43211]] * each] * MOST_STROKES}).encode())

    assert [len(stroke) for stroke in strokes] == [each] * MOST_STROKES


COORDINATES = st.floats(-1e9, 1e9) | st.integers(-3, 3).map(float)


@given(
    st.lists(st.lists(st.tuples(COORDINATES, COORDINATES), max_size=6), max_size=4),
    st.none() | st.floats(0, 1e9, exclude_min=True),
)
@example([[(0.0, 0.0), (0.0, 2.2250738585e-313)]], None)  # over it, a digit's size is infinite
@example([[(1.0, 0.0)]], 5e-324)  # so small a margin is lost next to the place
@example([[(1e9, 1e9)], [(1e9 - 600, 1e9 - 600)]], None)  # dots, by the precision there, that are far apart for a pen
@example([[(1000.0, 1000.0)], [(999.9995, 1000.0)]], 1e-30)
def test_whatever_is_taken_is_drawn_within_bounds(strokes: list[list[tuple[float, float]]], width: float | None) -> None:
    body = json.dumps({"strokes": strokes, "width": width}).encode()
    if not any(strokes):
        with pytest.raises(InvalidRequest):
            parse(body)
        return
    pixels = draw(*parse(body)).pixels

    assert max(pixels.shape) <= MOST_SIDE + 2 * MARGIN + MOST_PEN + 1
    assert pixels.min() < 128
    assert (pixels[[0, -1]] == 255).all()
    assert (pixels[:, [0, -1]] == 255).all()
