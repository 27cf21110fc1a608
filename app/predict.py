"""The one path from bytes to an answer; the routes and the command line both take it."""

import base64
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock
from time import perf_counter, process_time
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.classifier import DigitClassifier, Scores
from app.errors import InvalidBase64, InvalidRequest, RequestError
from app.glyph import SMALL, Finding, Glyph, Measurements, Steps, look, take_steps
from app.images import Picture, decode
from app.plain import read_png_header
from app.schemas import ModelName, Prediction
from app.settings import Settings
from app.shadow import Shadow

DECIMALS = 6  # of a probability in the answer; float32 logits hold no more
REFUSING = {"several-digits", "low-confidence", "unlike-a-digit"}  # warnings that an answer is not accepted with
ABREAST = 8  # pictures that take their steps in turn: more of their masks would not fit into a CPU's second cache
DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)

Request = TypeVar("Request")
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


@dataclass
class Trace:
    """What a reading made on its way, for whoever wants to look at it; a refusal leaves what came before it.

    seconds: of the stages that were reached, decode, find, infer, by the clock: CPU time over all threads of the process,
    unless another is given; starts: when they began, by the same.
    """

    clock: Callable[[], float] = process_time

    picture: Picture | None = None
    steps: Steps | None = None
    measured: Measurements | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Notes how long the stage took, whether it succeeds or not."""
        began = self.clock()
        try:
            yield
        finally:
            self.note(stage, began)

    def note(self, stage: str, began: float) -> None:
        """Notes that the stage, or a part of it, has taken from then until now."""
        self.starts.setdefault(stage, began)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self.clock() - began


@dataclass(frozen=True)
class PictureRequest:
    """A picture to read among others: the call gives its bytes, or raises what is wrong with it."""

    picture: Callable[[], bytes]
    include_glyph: bool = False


@dataclass(frozen=True)
class Inference:
    """Rows to infer: glyphs (N, 28, 28) uint8 or tensors (N, 1, 28, 28) float32; and what is to be answered.

    outputs: the names of the tensors that are wanted, and whether as bytes; id: the client's, to be repeated.
    """

    rows: NDArray[Any]
    outputs: Mapping[str, bool]
    id: str | None = None


@dataclass(frozen=True)
class TensorRequest:
    """Rows to infer among others: the call gives them, or raises what is wrong with them."""

    parse: Callable[[], Inference]


@dataclass(frozen=True)
class Inferred:
    """The logits (N, 10) of an inference's rows, and the model that gave them."""

    inference: Inference
    logits: NDArray[np.float32]
    classifier: DigitClassifier


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What came of one of several requests that were worked on together, and how long it took on the wall.

    starts: when each stage began, by perf_counter; measured: on the digit of a picture, where one was found.
    """

    result: Result | Exception
    seconds: dict[str, float]
    starts: dict[str, float] = field(default_factory=dict)
    measured: Measurements | None = None


Reading = Outcome[Prediction]
TensorReading = Outcome[Inferred]


def go_on() -> None:
    """No pause."""


@dataclass(frozen=True)
class Reader:
    """What is needed to read a picture: the model and the limits; and the version, if any, that is compared with it."""

    classifier: DigitClassifier
    settings: Settings
    shadow: Shadow | None = None
    _turn: Lock = field(default_factory=Lock, repr=False, compare=False)

    def read(self, data: bytes, *, include_glyph: bool = False, trace: Trace | None = None) -> Prediction:
        """The digit in a picture's bytes; trace, where one is given, is filled on the way.

        Raises:
            RequestError: one of app.images.decode's or app.glyph.take_steps's.
        """
        trace = trace or Trace()
        with trace.timed("decode"):
            trace.picture = decode(data, self.settings)
        with trace.timed("find"):
            trace.steps = take_steps(trace.picture)
        glyph = trace.steps.glyph
        trace.measured = glyph.measurements
        with trace.timed("infer"):
            scores = self.classifier.predict(glyph.pixels[np.newaxis])
        (answer,) = self._answers([glyph], scores, [include_glyph])
        return answer

    def read_together(self, requests: Sequence[PictureRequest], pause: Callable[[], None] = go_on) -> list[Reading]:
        """The digits in several pictures, inferred at once; what fails in one of them is its result, and harms no other.

        pause: called between two pieces of work, of which those of small pictures take a fraction of a millisecond.
        """

        def infer(glyphs: Mapping[int, Glyph]) -> dict[int, Prediction]:
            stack = np.stack([glyph.pixels for glyph in glyphs.values()])
            scores = self.classifier.predict(stack)
            if self.shadow:
                self.shadow.compare(stack, scores.probabilities.argmax(axis=1))
            wanted = [requests[place].include_glyph for place in glyphs]
            return dict(zip(glyphs, self._answers(list(glyphs.values()), scores, wanted), strict=True))

        return _work_together(requests, self._find, infer, pause)

    def infer_together(self, requests: Sequence[TensorRequest]) -> list[TensorReading]:
        """The logits of several requests' rows, inferred at once; what fails in one of them harms no other."""

        def parse(request: TensorRequest, trace: Trace) -> Generator[None, None, Inference]:
            with trace.timed("parse"):
                inference = request.parse()
            yield
            return inference

        def infer(inferences: Mapping[int, Inference]) -> dict[int, Inferred]:
            tensors = [self._to_tensors(inference.rows) for inference in inferences.values()]
            logits = np.split(self.classifier.run(np.concatenate(tensors)), np.cumsum([len(rows) for rows in tensors])[:-1])
            return {
                place: Inferred(inference, part, self.classifier)
                for (place, inference), part in zip(inferences.items(), logits, strict=True)
            }

        return _work_together(requests, parse, infer)

    def _to_tensors(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        return self.classifier.preprocess(rows) if rows.dtype == np.uint8 else rows

    def _find(self, request: PictureRequest, trace: Trace) -> Generator[None, None, Glyph]:
        """The digit in a picture, a step at a time. Nothing is kept of what it is done with: 8 MB at most, and the caches.

        A drawing is read by a hundred calls of some microseconds, each of which lets Python's lock go: several threads at it
        would do nothing but pass it on, so one does at a time. A photo is read by few long ones, beside anything.
        """
        data = request.picture()
        header = read_png_header(data)
        turn = self._turn if header and header.width * header.height <= SMALL else nullcontext()
        with turn:
            began = trace.clock()
            try:
                walk = look(decode(data, self.settings, header))
            finally:
                trace.note("decode", began)
        while True:
            with turn:
                began = trace.clock()
                try:
                    next(walk)
                except StopIteration as end:
                    glyph: Glyph = end.value.glyph
                    trace.measured = glyph.measurements
                    return glyph
                finally:
                    trace.note("find", began)
            yield

    def _answers(self, glyphs: Sequence[Glyph], scores: Scores, include_glyph: Sequence[bool]) -> list[Prediction]:
        """An answer for each glyph; numpy is asked once for all."""
        record, digits = self.classifier.record, scores.probabilities.argmax(axis=1).tolist()
        model = ModelName(name=record.name, version=record.version)
        answers = []
        for glyph, digit, exact, probabilities, energy, wanted in zip(
            glyphs,
            digits,
            scores.probabilities.max(axis=1).tolist(),
            scores.probabilities.round(DECIMALS).tolist(),
            scores.energy.tolist(),
            include_glyph,
            strict=True,
        ):
            findings = [*glyph.warnings, *self._doubts(exact, energy)]
            answers.append(
                Prediction(
                    digit=digit,
                    confidence=probabilities[digit],
                    probabilities=probabilities,
                    accepted=REFUSING.isdisjoint(finding.code for finding in findings),
                    warnings=findings,
                    box=glyph.box,
                    model=model,
                    glyph=to_data_url(glyph.pixels) if wanted else None,
                )
            )
        return answers

    def _doubts(self, confidence: float, energy: float) -> Iterator[Finding]:
        limits = self.classifier.metadata
        if confidence < limits.threshold:
            detail = f"The model is less sure than its threshold, {limits.threshold:g}."
            yield Finding("low-confidence", round(confidence, DECIMALS), detail)
        if energy < limits.least_energy:
            detail = f"This looks unlike the digits that the model knows: a score below {limits.least_energy:g}."
            yield Finding("unlike-a-digit", round(energy, DECIMALS), detail)


def _work_together(
    requests: Sequence[Request],
    prepare: Callable[[Request, Trace], Generator[None, None, Prepared]],
    infer: Callable[[Mapping[int, Prepared]], Mapping[int, Result]],
    pause: Callable[[], None] = go_on,
) -> list[Outcome[Result]]:
    """Prepares each request by itself and infers all at once; infer takes and gives them by their place.

    What a request raises while it is prepared is its own result; what inferring raises is that of all that were inferred.
    """
    traces = [Trace(perf_counter) for _ in requests]
    prepared: dict[int, Prepared] = {}
    results: dict[int, Result | Exception] = {}
    for first in range(0, len(requests), ABREAST):
        walks = {place: prepare(requests[place], traces[place]) for place in range(first, min(first + ABREAST, len(requests)))}
        _walk_abreast(walks, prepared, results, pause)
    inferring = Trace(perf_counter)
    if prepared:
        pause()
        try:
            with inferring.timed("infer"):
                results |= infer(prepared)
        except Exception as error:  # noqa: BLE001  likewise
            results |= dict.fromkeys(prepared, error)
    for place in prepared:
        traces[place].seconds |= inferring.seconds
        traces[place].starts |= inferring.starts
    return [Outcome(results[place], trace.seconds, trace.starts, trace.measured) for place, trace in enumerate(traces)]


def _walk_abreast(
    walks: dict[int, Generator[None, None, Prepared]],
    prepared: dict[int, Prepared],
    results: dict[int, Any],
    pause: Callable[[], None],
) -> None:
    """Has each take a step in turn until all have come to their ends: to what is prepared, or to an error, its result."""
    while walks:
        pause()
        for place, walk in list(walks.items()):
            try:
                next(walk)
                continue
            except StopIteration as end:
                prepared[place] = end.value
            except RequestError as error:
                results[place] = error.without_frames()
            except Exception as error:  # noqa: BLE001  it is raised again where its client waits
                results[place] = error
            del walks[place]


def to_data_url(glyph: NDArray[np.uint8]) -> str:
    """A (28, 28) glyph as the data URL of a PNG."""
    file = BytesIO()
    Image.fromarray(glyph).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes of base64, standard or URL-safe, bare or in a data URL, padded or not, broken into lines or not.

    Raises:
        InvalidBase64: it is something else.
        InvalidRequest: it holds no byte.
    """
    prefix = DATA_URL.match(text)
    if text[:5].lower() == "data:" and not prefix:
        raise InvalidBase64("The data URL holds no base64; canvas.toDataURL() of a canvas with a size gives one that does.")
    try:
        body = text[prefix.end() if prefix else 0 :].encode("ascii").translate(_TO_STANDARD, _SPACE).rstrip(b"=")
        if not body:
            raise InvalidRequest("The image is empty.")
        return base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except ValueError as error:  # binascii.Error is one; so is UnicodeEncodeError
        raise InvalidBase64("The image is no base64: it has other characters, or its length cannot be.") from error


_TO_STANDARD, _SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\n\v\f\r\x1c\x1d\x1e\x1f"  # the latter as str.split has it
