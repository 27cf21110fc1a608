"""Reads many pictures together: decodes each and finds its digits, then runs one inference for all of them.

request ─► open: decode, see ─► pick ─► draw ─► glyphs of the picture ─┐
request ─► …                                                          ├─► infer ─► judge ─► answers, one list per picture
request ─► …                                                          ─┘
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, chain
from math import inf
from threading import Lock
from time import perf_counter, process_time
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import RequestError
from app.reading.answer import Finding, Prediction
from app.reading.decode.fast_decoders import looks_heavy, may_be_plain, read_png_header
from app.reading.decode.picture import Decoder, Picture
from app.reading.find.glyph import SMALL, Glyph, Picked, Seen, Steps, draw, pick, see
from app.reading.find.measure import Measurements
from app.reading.infer.classifier import DigitClassifier
from app.reading.judge import judge

NO_TURN = nullcontext()
ABREAST = 8  # pictures processed step by step together; the masks of more would not fit into a CPU's second-level cache

Request = TypeVar("Request")
Result = TypeVar("Result")
Found = Sequence[Glyph]  # the digits of one picture, the most prominent first


@dataclass
class Trace:
    """The intermediate results of a reading. After a refusal, it holds those of the stages before.

    clock: CPU time over all threads of the process, and of the one that decodes for it, unless another is given; seconds: the
    time of each stage that was reached (decode, find, infer), by that clock; starts: when each stage began, by the same clock.
    """

    clock: Callable[[], float] = process_time

    picture: Picture | None = None
    steps: Steps | None = None
    measured: tuple[Measurements, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)

    def timed(self, stage: str) -> "_Timed":
        """Times a block and adds it to the stage, whether the block succeeds or not."""
        return _Timed(self, stage)


class _Timed:
    """Times a block. A contextlib.contextmanager would take several times as long."""

    __slots__ = ("_began", "_stage", "_trace")

    def __init__(self, trace: Trace, stage: str) -> None:
        self._trace, self._stage = trace, stage

    def __enter__(self) -> None:
        self._began = self._trace.clock()

    def __exit__(self, *_: object) -> None:
        trace, stage, began = self._trace, self._stage, self._began
        trace.starts.setdefault(stage, began)
        trace.seconds[stage] = trace.seconds.get(stage, 0.0) + trace.clock() - began


@dataclass(frozen=True)
class PictureRequest:
    """A picture to read with others: the call gives its bytes or its pixels, or raises what is wrong with it.

    waits: whether it is known already that it must wait for a decoder; heavy: whether decoding it may then take long; until: by
    the monotonic clock, after which nobody waits for it.
    """

    picture: Callable[[], bytes | Picture]
    include_glyph: bool = False
    waits: bool = False
    heavy: bool = False
    until: float = inf

    @classmethod
    def of(cls, data: bytes, include_glyph: bool = False) -> "PictureRequest":
        """The request to read a picture whose bytes are here."""
        return cls(lambda: data, include_glyph, not may_be_plain(data), looks_heavy(data))

    def opened(self, data: bytes) -> "PictureRequest":
        """The same, with the bytes that its picture has given."""
        return replace(self, picture=lambda: data, waits=True, heavy=looks_heavy(data))


class MustWait(Exception):
    """The result of a picture whose decoding may take long, where nothing may be waited for; data are its bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__("The picture must be decoded elsewhere.")
        self.data = data


@dataclass(frozen=True)
class Inference:
    """Rows to infer: glyphs (N, 28, 28) uint8 or tensors (N, 1, 28, 28) float32.

    outputs: the names of the requested tensors, each with whether it is returned as bytes; id: the client's, to be repeated.
    """

    rows: NDArray[Any]
    outputs: Mapping[str, bool]
    id: str | None = None


@dataclass(frozen=True)
class TensorRequest:
    """Rows to infer together with others. parse: returns them, or raises the error of this request."""

    parse: Callable[[], Inference]


@dataclass(frozen=True)
class Inferred:
    """The logits (N, 10) of the rows of an inference, and the model that computed them."""

    inference: Inference
    logits: NDArray[np.float32]
    classifier: DigitClassifier


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """The result of one of several requests that were worked on together, with the wall time of each stage.

    starts: when each stage began, by perf_counter; measured: the measurements of each digit that was found.
    """

    result: Result | Exception
    seconds: dict[str, float]
    starts: dict[str, float] = field(default_factory=dict)
    measured: tuple[Measurements, ...] = ()


Predictions = tuple[Prediction, ...]  # of one picture, the most prominent digit first; at least one
PictureOutcome = Outcome[Predictions]
TensorOutcome = Outcome[Inferred]


class Comparison(Protocol):
    """Something that is told about each batch, for example another version of the model that reads the same glyphs."""

    def compare(self, glyphs: NDArray[np.uint8], digits: NDArray[np.intp]) -> None:
        """Takes glyphs (N, 28, 28) and the digits (N,) that were read. Must neither block nor raise."""


def no_pause() -> None:
    """Does nothing: the default pause."""


def most_prominent(result: Predictions | Exception) -> Prediction | Exception:
    """The first prediction, for callers that want one digit; an error stays as it is."""
    return result if isinstance(result, Exception) else result[0]


@dataclass(frozen=True)
class Engine:
    """Reads pictures and infers tensors, many at once. Safe to call from several threads."""

    classifier: DigitClassifier
    decoder: Decoder
    comparison: Comparison | None = None
    _turn: Lock = field(default_factory=Lock, repr=False, compare=False)

    def read_together(
        self, requests: Sequence[PictureRequest], pause: Callable[[], None] = no_pause, *, patient: bool = True
    ) -> list[PictureOutcome]:
        """The digits of each picture. What fails in one picture is its result, and harms no other.

        pause: called between two pieces of work; those of small pictures take a fraction of a millisecond. patient: whether
        to decode what is not decoded at once, too; otherwise, MustWait is its result.
        """
        jobs = [_Job(request, Trace(perf_counter), patient) for request in requests]
        for first in range(0, len(jobs), ABREAST):
            self._find_abreast(jobs[first : first + ABREAST], pause)
        found = {place: job.found for place, job in enumerate(jobs) if job.found}
        if found:
            pause()
        results, inferring = _timed(lambda: self._predict(found, requests), found)
        for place, job in enumerate(jobs):
            if job.failure:
                results[place] = job.failure
        return [_outcome(results[place], job.trace, inferring if job.found else None) for place, job in enumerate(jobs)]

    def infer_together(self, requests: Sequence[TensorRequest]) -> list[TensorOutcome]:
        """Infers the rows of several requests at once. An error in one of them does not affect the others."""
        traces = [Trace(perf_counter) for _ in requests]
        parsed = [_attempt(partial(_parse, trace=trace), request) for request, trace in zip(requests, traces, strict=True)]
        inferences = {place: each for place, each in enumerate(parsed) if isinstance(each, Inference)}
        results, inferring = _timed(lambda: self._infer(inferences), inferences)
        results |= {place: each for place, each in enumerate(parsed) if isinstance(each, Exception)}
        return [
            _outcome(results[place], trace, inferring if place in inferences else None) for place, trace in enumerate(traces)
        ]

    def _find_abreast(self, jobs: Sequence["_Job"], pause: Callable[[], None]) -> None:
        """Finds the digits of a few pictures, one step for all at a time, so that its code stays in the CPU's caches."""
        for step in (self._open, _pick, _draw):
            waiting = [job for job in jobs if not job.found and not job.failure]
            if waiting:
                pause()
            for job in waiting:
                job.take(step)

    def _open(self, job: "_Job") -> Seen | Steps:
        """Decodes a picture and measures its ink. A large picture fills the caches, so it is taken to its glyph at once.

        Reading a drawing takes a hundred calls of a few microseconds, and each releases Python's lock. Several threads would
        only pass the lock around, so one thread reads drawings at a time. A photo takes few long calls, which run in parallel.
        """
        source = job.request.picture()
        picture = self._decode(source, job) if isinstance(source, bytes) else source
        job.frame = picture.frame
        with job.turn, job.trace.timed("find"):
            seen = see(picture)
            del picture
            return draw(pick(seen)) if isinstance(seen, Seen) and seen.ink.levels.size > SMALL else seen

    def _decode(self, data: bytes, job: "_Job") -> Picture:
        """The picture; a small plain PNG's at once, another's by the decoder, which may have to wait."""
        header = read_png_header(data)
        if header and header.width * header.height <= SMALL:
            job.turn = self._turn
        with job.turn, job.trace.timed("decode"):
            plain = self.decoder.decode_plain(data, header) if header else None
        if plain:
            return plain
        if not job.patient:
            raise MustWait(data)
        job.turn = nullcontext()
        with job.trace.timed("decode"):
            return self.decoder.decode(data, job.request.until)

    def _predict(self, found: Mapping[int, Found], requests: Sequence[PictureRequest]) -> dict[int, Predictions]:
        glyphs = list(chain.from_iterable(found.values()))
        stack = np.stack([glyph.pixels for glyph in glyphs])
        scores = self.classifier.predict(stack)
        if self.comparison:
            self.comparison.compare(stack, scores.probabilities.argmax(axis=1))
        wanted = [requests[place].include_glyph for place, digits in found.items() for _ in digits]
        answers = judge(self.classifier, glyphs, scores, wanted)
        ends = accumulate(len(digits) for digits in found.values())
        return {
            place: tuple(answers[end - len(digits) : end]) for (place, digits), end in zip(found.items(), ends, strict=True)
        }

    def _infer(self, inferences: Mapping[int, Inference]) -> dict[int, Inferred]:
        tensors = [self._to_tensors(inference.rows) for inference in inferences.values()]
        logits = np.split(self.classifier.run(np.concatenate(tensors)), np.cumsum([len(rows) for rows in tensors])[:-1])
        return {
            place: Inferred(inference, part, self.classifier)
            for (place, inference), part in zip(inferences.items(), logits, strict=True)
        }

    def _to_tensors(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        return self.classifier.preprocess(rows) if rows.dtype == np.uint8 else rows


@dataclass
class _Job:
    """A picture in progress. state: the result of its last step; turn: the lock that a thread holds during a step."""

    request: PictureRequest
    trace: Trace
    patient: bool
    frame: int = 0
    state: Any = None
    found: Found = ()
    failure: Exception | None = None
    turn: AbstractContextManager[object] = NO_TURN

    def take(self, step: Callable[["_Job"], Seen | Picked | Steps]) -> None:
        """Takes a step and drops the result of the previous one, which may fill 8 MB and the caches."""
        made = _attempt(step, self)
        self.state = made if isinstance(made, Seen | Picked) else None
        if isinstance(made, Steps):
            self.found = (note_frame(made.glyph, self.frame),)
            self.trace.measured = (made.glyph.measurements,)
        elif isinstance(made, Exception):
            self.failure = made


def decode_at_once(decoder: Decoder, data: bytes) -> Picture:
    """Decodes by the quickest way; the caller may have to wait."""
    header = read_png_header(data)
    return (decoder.decode_plain(data, header) if header else None) or decoder.decode(data)


def note_frame(glyph: Glyph, frame: int) -> Glyph:
    """The glyph, with a warning where it comes from a later frame of an animation."""
    if not frame:
        return glyph
    finding = Finding("later-frame", frame, f"The file's first frame is blank; frame {frame + 1} was read.")
    return replace(glyph, warnings=(*glyph.warnings, finding))


def _pick(job: _Job) -> Picked:
    with job.turn, job.trace.timed("find"):
        return pick(job.state)


def _draw(job: _Job) -> Steps:
    with job.turn, job.trace.timed("find"):
        return draw(job.state)


def _attempt(work: Callable[[Request], Result], request: Request) -> Result | Exception:
    """Returns what the work returns or raises. A RequestError is kept without its frames."""
    try:
        return work(request)
    except RequestError as error:
        return error.without_frames()
    except Exception as error:  # noqa: BLE001  it is raised again where the client waits
        return error


def _parse(request: TensorRequest, trace: Trace) -> Inference:
    with trace.timed("parse"):
        return request.parse()


def _timed(infer: Callable[[], dict[int, Result]], places: Iterable[int]) -> tuple[dict[int, Result | Exception], Trace]:
    """The results of inference for these places, or its error for each of them; and how long it took."""
    trace, asked = Trace(perf_counter), list(places)
    if not asked:
        return {}, trace
    try:
        with trace.timed("infer"):
            return dict(infer()), trace
    except Exception as error:  # noqa: BLE001  it becomes the result of every request
        return dict.fromkeys(asked, error), trace


def _outcome(result: Result | Exception, trace: Trace, inferring: Trace | None) -> Outcome[Result]:
    if inferring:
        trace.seconds |= inferring.seconds
        trace.starts |= inferring.starts
    return Outcome(result, trace.seconds, trace.starts, trace.measured)
