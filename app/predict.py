"""The one path from bytes to an answer; the routes and the command line both take it."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.classifier import DigitClassifier, Scores
from app.errors import InvalidBase64, InvalidRequest
from app.glyph import Finding, Glyph, Measurements, Steps, take_steps
from app.images import Picture, decode
from app.schemas import ModelName, Prediction
from app.settings import Settings
from app.shadow import Shadow

DECIMALS = 6  # of a probability in the answer; float32 logits hold no more
REFUSING = {"several-digits", "low-confidence", "unlike-a-digit"}  # warnings that an answer is not accepted with
DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


@dataclass
class Trace:
    """What a reading made on its way, for whoever wants to look at it; a refusal leaves what came before it.

    seconds: of the stages that were reached, decode, find, infer, by the clock: CPU time over all threads of the process,
    unless another is given; starts: when they began, by the same.
    """

    clock: Callable[[], float] = process_time

    picture: Picture | None = None
    steps: Steps | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Notes how long the stage took, whether it succeeds or not."""
        started = self.starts[stage] = self.clock()
        try:
            yield
        finally:
            self.seconds[stage] = self.clock() - started


@dataclass(frozen=True)
class PictureRequest:
    """A picture to read among others: the call gives its bytes, or raises what is wrong with it."""

    picture: Callable[[], bytes]
    include_glyph: bool = False


@dataclass(frozen=True)
class Reading:
    """What came of a picture read among others, and how long it took on the wall.

    starts: when each stage began, by perf_counter; measured: on the digit, where one was found.
    """

    result: Prediction | Exception
    seconds: dict[str, float]
    starts: dict[str, float] = field(default_factory=dict)
    measured: Measurements | None = None


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
class TensorReading:
    """What came of rows inferred among others, how long it took on the wall, and when it began, by perf_counter."""

    result: Inferred | Exception
    seconds: dict[str, float]
    starts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """What is needed to read a picture: the model and the limits; and the version, if any, that is compared with it."""

    classifier: DigitClassifier
    settings: Settings
    shadow: Shadow | None = None

    def read(self, data: bytes, *, include_glyph: bool = False, trace: Trace | None = None) -> Prediction:
        """The digit in a picture's bytes; trace, where one is given, is filled on the way.

        Raises:
            RequestError: one of app.images.decode's or app.glyph.take_steps's.
        """
        trace = trace or Trace()
        glyph = self._find(data, trace)
        with trace.timed("infer"):
            scores = self.classifier.predict(glyph.pixels[np.newaxis])
        return self._answer(glyph, scores, 0, include_glyph=include_glyph)

    def read_together(self, requests: Sequence[PictureRequest]) -> list[Reading]:
        """The digits in several pictures, inferred at once; what fails in one of them is its result, and harms no other."""
        traces = [Trace(perf_counter) for _ in requests]
        glyphs: dict[int, Glyph] = {}
        results: dict[int, Prediction | Exception] = {}
        for place, (request, trace) in enumerate(zip(requests, traces, strict=True)):
            try:
                glyphs[place] = self._find(request.picture(), trace)
            except Exception as error:  # noqa: BLE001  it is raised again where its client waits
                results[place] = error
        inferring = Trace(perf_counter)
        with inferring.timed("infer"):
            results |= self._try_to_infer(glyphs, requests)
        return [
            Reading(
                results[place],
                trace.seconds | inferring.seconds,
                trace.starts | inferring.starts,
                glyphs[place].measurements,
            )
            if place in glyphs
            else Reading(results[place], trace.seconds, trace.starts)
            for place, trace in enumerate(traces)
        ]

    def _try_to_infer(self, glyphs: dict[int, Glyph], requests: Sequence[PictureRequest]) -> dict[int, Prediction | Exception]:
        """What the model makes of glyphs, by their place among the requests."""
        if not glyphs:
            return {}
        try:
            stack = np.stack([glyph.pixels for glyph in glyphs.values()])
            scores = self.classifier.predict(stack)
            if self.shadow:
                self.shadow.compare(stack, scores.probabilities.argmax(axis=1))
            return {
                place: self._answer(glyph, scores, row, include_glyph=requests[place].include_glyph)
                for row, (place, glyph) in enumerate(glyphs.items())
            }
        except Exception as error:  # noqa: BLE001  likewise, of all that were inferred together
            return dict.fromkeys(glyphs, error)

    def infer_together(self, requests: Sequence[TensorRequest]) -> list[TensorReading]:
        """The logits of several requests' rows, inferred at once; what fails in one of them harms no other."""
        traces = [Trace(perf_counter) for _ in requests]
        inferences: dict[int, Inference] = {}
        results: dict[int, Inferred | Exception] = {}
        for place, (request, trace) in enumerate(zip(requests, traces, strict=True)):
            try:
                with trace.timed("parse"):
                    inferences[place] = request.parse()
            except Exception as error:  # noqa: BLE001  it is raised again where its client waits
                results[place] = error
        inferring = Trace(perf_counter)
        with inferring.timed("infer"):
            results |= self._try_to_infer_rows(inferences)
        return [
            TensorReading(results[place], trace.seconds | inferring.seconds, trace.starts | inferring.starts)
            if place in inferences
            else TensorReading(results[place], trace.seconds, trace.starts)
            for place, trace in enumerate(traces)
        ]

    def _try_to_infer_rows(self, inferences: Mapping[int, Inference]) -> dict[int, Inferred | Exception]:
        """Each inference with its logits, by its place among the requests."""
        if not inferences:
            return {}
        try:
            tensors = [self._to_tensors(inference.rows) for inference in inferences.values()]
            logits = np.split(self.classifier.run(np.concatenate(tensors)), np.cumsum([len(rows) for rows in tensors])[:-1])
            return {
                place: Inferred(inference, part, self.classifier)
                for (place, inference), part in zip(inferences.items(), logits, strict=True)
            }
        except Exception as error:  # noqa: BLE001  likewise, of all that were inferred together
            return dict.fromkeys(inferences, error)

    def _to_tensors(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        return self.classifier.preprocess(rows) if rows.dtype == np.uint8 else rows

    def _find(self, data: bytes, trace: Trace) -> Glyph:
        with trace.timed("decode"):
            trace.picture = picture = decode(data, self.settings)
        with trace.timed("find"):
            trace.steps = take_steps(picture)
        return trace.steps.glyph

    def _answer(self, glyph: Glyph, scores: Scores, place: int, *, include_glyph: bool) -> Prediction:
        record, probabilities = self.classifier.record, scores.probabilities[place]
        digit = int(probabilities.argmax())
        findings = (*glyph.warnings, *self._doubts(float(probabilities[digit]), float(scores.energy[place])))
        return Prediction(
            digit=digit,
            confidence=round(float(probabilities[digit]), DECIMALS),
            probabilities=probabilities.round(DECIMALS).tolist(),
            accepted=REFUSING.isdisjoint(finding.code for finding in findings),
            warnings=list(findings),
            box=glyph.box,
            model=ModelName(name=record.name, version=record.version),
            glyph=to_data_url(glyph.pixels) if include_glyph else None,
        )

    def _doubts(self, confidence: float, energy: float) -> Iterator[Finding]:
        limits = self.classifier.metadata
        if confidence < limits.threshold:
            detail = f"The model is less sure than its threshold, {limits.threshold:g}."
            yield Finding("low-confidence", round(confidence, DECIMALS), detail)
        if energy < limits.least_energy:
            detail = f"This looks unlike the digits that the model knows: a score below {limits.least_energy:g}."
            yield Finding("unlike-a-digit", round(energy, DECIMALS), detail)


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
    body = "".join(text[prefix.end() if prefix else 0 :].split()).rstrip("=")
    if not body:
        raise InvalidRequest("The image is empty.")
    try:
        return base64.b64decode(body.encode("ascii").translate(_TO_STANDARD) + b"=" * (-len(body) % 4), validate=True)
    except ValueError as error:  # binascii.Error is one; so is UnicodeEncodeError
        raise InvalidBase64("The image is no base64: it has other characters, or its length cannot be.") from error


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
