"""Many clients at once, over HTTP: each gets the same answer as alone."""

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from io import BytesIO

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.reading.answer import Prediction
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.pictures import encode
from tests import plain_http
from tests.servers import serving

CLIENTS = 64
BATCH = 5  # pictures of a request to /predict/batch
TOLERANCE = 2e-6  # of a probability: a batch sums in another order than one alone. On some processors so does the finder,
LEVEL, ROUNDED = 1, 0.01  # and a glyph's pixel, of 255, may be rounded to the other side; of a probability, what that changes


@pytest.fixture(scope="module")
def pictures(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> list[bytes]:
    """Each other than all others: digits of MNIST and their negatives, on sheets of random sizes, at random places."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(400):
        digit = excerpt[0][number % len(excerpt[0])]
        sides = rng.integers(0, 30, 4)
        sheet = np.pad(digit, (tuple(sides[:2]), tuple(sides[2:])))
        made.append(encode(Image.fromarray(sheet if number < len(excerpt[0]) else 255 - sheet)))
    return made


@pytest.mark.parametrize("waiting", [256, 12])
def test_each_of_many_clients_gets_its_own_answer(reader: Reader, pictures: list[bytes], waiting: int) -> None:
    settings = Settings(max_waiting=waiting, worker_threads=2, deadline_seconds=100, stall_seconds=100)  # clients may be slow
    with serving(settings) as port:
        answers = asyncio.run(ask_all(f"http://127.0.0.1:{port}", pictures))

    answered = [(data, told) for data, told in zip(pictures, answers, strict=True) if told is not None]
    assert len(answered) == len(pictures) if waiting >= CLIENTS else BATCH < len(answered) < len(pictures)
    for data, told in answered:
        alone = reader.read(data, include_glyph=True)
        assert without_numbers(told) == without_numbers(alone)
        apart = np.abs(to_pixels(told.glyph) - to_pixels(alone.glyph)).max()
        assert apart <= LEVEL
        np.testing.assert_allclose(told.probabilities, alone.probabilities, atol=TOLERANCE if apart == 0 else ROUNDED)


async def ask_all(url: str, pictures: Sequence[bytes]) -> list[Prediction | None]:
    """The answer to each, asked for by clients that each send in one of three ways; None where the request was refused."""
    answers: list[Prediction | None] = [None] * len(pictures)
    left = iter(range(0, len(pictures), BATCH))

    async def ask_on(client: httpx2.AsyncClient, way: int) -> None:
        for start in left:
            some = pictures[start : start + BATCH]
            answers[start : start + BATCH] = await WAYS[way](client, some)

    limits = httpx2.Limits(max_connections=CLIENTS)
    async with plain_http.AsyncClient(base_url=url, params={"include": "glyph"}, timeout=100, limits=limits) as client:
        await asyncio.gather(*(ask_on(client, number % len(WAYS)) for number in range(CLIENTS)))
    return answers


async def send_raw(client: httpx2.AsyncClient, pictures: Sequence[bytes]) -> list[Prediction | None]:
    return [to_prediction(await client.post("/predict", content=data)) for data in pictures]


async def send_form(client: httpx2.AsyncClient, pictures: Sequence[bytes]) -> list[Prediction | None]:
    return [to_prediction(await client.post("/predict", files={"file": data})) for data in pictures]


async def send_batch(client: httpx2.AsyncClient, pictures: Sequence[bytes]) -> list[Prediction | None]:
    answer = await client.post("/predict/batch", files=[("files", data) for data in pictures])
    if answer.status_code == 503:
        return [None] * len(pictures)
    return [Prediction.model_validate(result) for result in answer.json()["results"]]


WAYS = (send_raw, send_form, send_batch)


def to_prediction(answer: httpx2.Response) -> Prediction | None:
    assert answer.status_code in (200, 503), answer.text
    return Prediction.model_validate_json(answer.content) if answer.status_code == 200 else None


def without_numbers(told: Prediction) -> dict[str, object]:
    """All but what is computed; of the warnings, whose values are probabilities too, only which there are."""
    rest = told.model_dump(exclude={"probabilities", "confidence", "glyph", "warnings"})
    return rest | {"warnings": [warning.code for warning in told.warnings]}


def to_pixels(glyph: str | None) -> NDArray[np.int16]:
    """(28, 28) of a glyph as an answer has it, a PNG as a data URL."""
    assert glyph is not None
    data = b64decode(glyph.partition(",")[2])
    return np.asarray(Image.open(BytesIO(data)), np.int16)
