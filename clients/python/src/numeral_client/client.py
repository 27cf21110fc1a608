"""The clients, one to call and one to await. Their methods are alike; numeral_client.calls has what they share."""

import asyncio
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, cast

import httpx

from numeral_client import calls
from numeral_client.calls import Call, Picture, Strokes
from numeral_client.types import BatchResult, Health, ModelInfo, Prediction, Problem, Reading, ReadingBatchResult

TIMEOUT = 30.0  # seconds
RETRIES = 3
MOST_WAIT = 30.0  # seconds before another try; if the service asks for more, its problem is raised


class Client:
    """Calls the service. One client may be used by several threads.

    Every method raises ProblemError where the service gives no answer, and httpx.TransportError where it is not reached.

    >>> with Client("http://127.0.0.1:8000") as client:
    ...     client.predict("seven.jpg")["digit"]
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        most_wait: float = MOST_WAIT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """url: of the service, with a path if it has one; timeout: of each try, in seconds; retries: after 503 and 429.

        most_wait: seconds before another try; where the service asks for more, its problem is raised at once.
        """
        self._http = httpx.Client(base_url=url, headers=_headers(api_key), timeout=timeout, transport=transport)
        self._retries, self._most_wait = retries, most_wait

    def predict(self, picture: Picture, *, include_glyph: bool = False) -> Prediction:
        """The digit in a picture: bytes, a path, an open file, a PIL image or an array."""
        return cast("Prediction", self._send(calls.predict(picture, include_glyph=include_glyph)))

    def predict_batch(self, pictures: Iterable[Picture], *, include_glyph: bool = False) -> list[Prediction | Problem]:
        """The digit in each picture, or why there is none, in order. A bad picture raises nothing."""
        return cast("BatchResult", self._send(calls.predict_batch(pictures, include_glyph=include_glyph)))["results"]

    def predict_strokes(self, strokes: Strokes, *, width: float | None = None, include_glyph: bool = False) -> Prediction:
        """The digit in strokes of points (x, y), y downwards. width: of the pen, in the same unit."""
        return cast("Prediction", self._send(calls.predict_strokes(strokes, width, include_glyph=include_glyph)))

    def read(self, picture: Picture, *, count: int | None = None, include_glyph: bool = False) -> Reading:
        """All digits in a picture, in lines. count: how many there are, if you know."""
        return cast("Reading", self._send(calls.read(picture, count, include_glyph=include_glyph)))

    def read_batch(self, pictures: Iterable[Picture], *, include_glyph: bool = False) -> list[Reading | Problem]:
        """All digits in each picture, or why there are none, in order. A bad picture raises nothing."""
        return cast("ReadingBatchResult", self._send(calls.read_batch(pictures, include_glyph=include_glyph)))["results"]

    def model(self) -> ModelInfo:
        """The model that answers."""
        return cast("ModelInfo", self._send(calls.MODEL))

    def ready(self) -> Health:
        """Whether the service can answer; it raises ProblemError if not, once the retries are used up."""
        return cast("Health", self._send(calls.READY))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _send(self, call: Call) -> Any:
        for tries in range(1, self._retries + 1):
            response = self._http.request(*call.parts, **call.options)
            wait = calls.seconds_to_wait(response, tries, self._most_wait)
            if wait is None:
                return calls.answer(response)
            time.sleep(wait)
        return calls.answer(self._http.request(*call.parts, **call.options))


class AsyncClient:
    """As Client, to await.

    >>> async with AsyncClient("http://127.0.0.1:8000") as client:
    ...     (await client.predict("seven.jpg"))["digit"]
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        most_wait: float = MOST_WAIT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """As Client."""
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(api_key), timeout=timeout, transport=transport)
        self._retries, self._most_wait = retries, most_wait

    async def predict(self, picture: Picture, *, include_glyph: bool = False) -> Prediction:
        """As Client.predict."""
        return cast(
            "Prediction", await self._send(await asyncio.to_thread(calls.predict, picture, include_glyph=include_glyph))
        )

    async def predict_batch(self, pictures: Iterable[Picture], *, include_glyph: bool = False) -> list[Prediction | Problem]:
        """As Client.predict_batch."""
        return cast(
            "BatchResult", await self._send(await asyncio.to_thread(calls.predict_batch, pictures, include_glyph=include_glyph))
        )["results"]

    async def predict_strokes(self, strokes: Strokes, *, width: float | None = None, include_glyph: bool = False) -> Prediction:
        """As Client.predict_strokes."""
        return cast(
            "Prediction",
            await self._send(await asyncio.to_thread(calls.predict_strokes, strokes, width, include_glyph=include_glyph)),
        )

    async def read(self, picture: Picture, *, count: int | None = None, include_glyph: bool = False) -> Reading:
        """As Client.read."""
        return cast(
            "Reading", await self._send(await asyncio.to_thread(calls.read, picture, count, include_glyph=include_glyph))
        )

    async def read_batch(self, pictures: Iterable[Picture], *, include_glyph: bool = False) -> list[Reading | Problem]:
        """As Client.read_batch."""
        return cast(
            "ReadingBatchResult",
            await self._send(await asyncio.to_thread(calls.read_batch, pictures, include_glyph=include_glyph)),
        )["results"]

    async def model(self) -> ModelInfo:
        """As Client.model."""
        return cast("ModelInfo", await self._send(calls.MODEL))

    async def ready(self) -> Health:
        """As Client.ready."""
        return cast("Health", await self._send(calls.READY))

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: Call) -> Any:
        for tries in range(1, self._retries + 1):
            response = await self._http.request(*call.parts, **call.options)
            wait = calls.seconds_to_wait(response, tries, self._most_wait)
            if wait is None:
                return calls.answer(response)
            await asyncio.sleep(wait)
        return calls.answer(await self._http.request(*call.parts, **call.options))


def _headers(api_key: str | None) -> dict[str, str]:
    return {"X-API-Key": api_key} if api_key else {}
