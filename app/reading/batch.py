"""Reads many pictures together: decodes each and finds its digits, then runs one inference for all of them.

request ─► decode ─┐                                          ┌─► draw ─┐
request ─► …       ├─► look ─► pick ─► look again, where small ─┼─► …    ├─► infer ─► judge ─► answers, one list per picture
request ─► …       ┘                                          └─► …    ┘

A picture whose digits are all asked for is read by itself, between the others: app.reading.numbers.read.

Each look and the inference are one run of onnxruntime for several requests, without Python's lock. Of very many pictures, or
where large ones are to be kept, the inference is several runs, so that little is in memory until their answers are known.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, chain, islice
from threading import Lock
from time import monotonic, perf_counter
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import DeadlineExceeded, RequestError
from app.reading.answer import Reading
from app.reading.decode.fast_decoders import read_png_header
from app.reading.decode.picture import Decoder, Picture
from app.reading.find.finder import Look
from app.reading.find.steps import Begun, Glyph, Picked, Steps, begin, draw, pick
from app.reading.find.window import Window
from app.reading.infer.classifier import Logits
from app.reading.judge import judge, tell_frame
from app.reading.model import DigitModel
from app.reading.numbers.read import NumberOptions, read_number
from app.reading.requests import (
    Compared,
    Inference,
    Inferred,
    MustWait,
    Outcome,
    PictureOutcome,
    PictureRequest,
    Predictions,
    TensorOutcome,
    TensorRequest,
)
from app.reading.trace import Trace

NO_TURN = nullcontext()
ABREAST = 8  # pictures that are looked at together; more save nothing on a CPU, and the event loop may have to wait for a run
MOST_PIXELS = 2**20  # of pictures that are looked at together, so that few are in memory at a time
MOST_HELD = 2**22  # pixels of pictures that wait for their answers to be kept
MOST_WAITING = 256  # pictures whose digits are inferred together; a service's batch has fewer
SMALL = 2**17  # pixels of a PNG that is decoded in many short calls

Request = TypeVar("Request")
Result = TypeVar("Result")
Found = tuple[Glyph, ...]  # the digits of one picture, the most prominent first


class Comparison(Protocol):
    """Something that is told about each batch, for example another version of the model that reads the same pictures."""

    def compare(self, read: Sequence[Compared]) -> None:
        """Takes pictures with what was read in each. Must neither block nor raise."""


def no_pause() -> None:
    """Does nothing: the default pause."""


@dataclass(frozen=True)
class Engine:
    """Reads pictures and infers tensors, many at once. Safe to call from several threads."""

    model: DigitModel
    decoder: Decoder
    comparison: Comparison | None = None
    _turn: Lock = field(default_factory=Lock, repr=False, compare=False)

    def read_together(
        self, requests: Sequence[PictureRequest], pause: Callable[[], None] = no_pause, *, patient: bool = True
    ) -> list[PictureOutcome]:
        """The digits of each picture. An error is the result of its own picture and does not affect the others.

        pause: called between two pieces of work; those of small pictures take a fraction of a millisecond. patient: whether
        to decode what is not decoded at once, too; otherwise, MustWait is its result.
        """
        jobs = [_Job(request, Trace(perf_counter), patient) for request in requests]
        outcomes, waiting = list[PictureOutcome](), list[_Job]()
        for group in self._open_in_groups(jobs, pause):
            self._find(group, pause)
            waiting += group
            if len(waiting) >= MOST_WAITING or sum(each.held for each in waiting) >= MOST_HELD:
                outcomes += self._answer(waiting, pause)
                waiting = []
        return outcomes + self._answer(waiting, pause)

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

    def _open_in_groups(self, jobs: Iterable["_Job"], pause: Callable[[], None]) -> Iterator[list["_Job"]]:
        """Opens each picture, and yields those that are looked at together."""
        group, pixels = list[_Job](), 0
        for job in jobs:
            if not group:
                pause()
            job.take(self._open)
            group.append(job)
            pixels += job.pixels
            if len(group) == ABREAST or pixels >= MOST_PIXELS:
                yield group
                group, pixels = [], 0
        if group:
            yield group

    def _find(self, jobs: Sequence["_Job"], pause: Callable[[], None]) -> None:
        """Finds the digits of a few pictures: a look at all of them, and another at all digits that were too small."""
        begun = [job for job in jobs if isinstance(job.state, Begun)]
        if begun:
            pause()
        for job, (look,) in self._look(begun, [[job.state.window] for job in begun]):
            job.take(partial(_pick, look=look))
        for job in [job for job in jobs if isinstance(job.state, Picture)]:
            pause()
            job.take(partial(self._read_number, pause=pause))
        picked = [job for job in begun if isinstance(job.state, Picked)]
        if picked:
            pause()
        for job, looks in self._look(picked, [job.windows for job in picked]):
            job.take(partial(_draw, looks=looks))

    def _answer(self, jobs: Sequence["_Job"], pause: Callable[[], None]) -> list[PictureOutcome]:
        """Infers the digits of pictures that were looked at."""
        found = {place: job.found for place, job in enumerate(jobs) if job.found}
        if found:
            pause()
        predictions, inferring = _timed(lambda: self._predict(found, jobs), found)
        results: dict[int, Predictions | Reading | Exception] = {**predictions}
        for place, job in enumerate(jobs):
            if answer := job.failure or job.reading:
                results[place] = answer
        if self.comparison:
            _compare(self.comparison, jobs, results)
        return [_outcome_of(job, results[place], inferring, pause) for place, job in enumerate(jobs)]

    def _look(self, jobs: Sequence["_Job"], windows: Sequence[Sequence[Window]]) -> Iterator[tuple["_Job", list[Look]]]:
        """The looks at each job's windows, in one run; where it fails, each of the jobs does."""
        began = perf_counter()
        try:
            looks = iter(self.model.finder.look(list(chain.from_iterable(windows))))
        except Exception as error:  # noqa: BLE001  as in _attempt
            for job in jobs:
                job.fail(error)
            return
        spent = perf_counter() - began
        for job, own in zip(jobs, windows, strict=True):
            job.trace.seconds["find"] = job.trace.seconds.get("find", 0.0) + (spent if own else 0.0)
            yield job, list(islice(looks, len(own)))

    def _read_number(self, job: "_Job", pause: Callable[[], None]) -> Reading:
        """All digits of a picture that is decoded."""
        options = job.request.number or NumberOptions()

        def pause_in_time() -> None:
            pause()
            if monotonic() > job.request.until:
                raise DeadlineExceeded("Reading all digits took too long; try again later, or send a part of the picture.")

        with job.trace.timed("find"):
            read = read_number(self.model, job.state, replace(options, include_glyph=job.request.include_glyph), pause_in_time)
        job.trace.measured, job.glyphs = read.measured, read.glyphs
        return read.reading

    def _open(self, job: "_Job") -> Picture | Begun | tuple[Steps, ...]:
        """Decodes a picture and cuts the window of its first look.

        Decoding and measuring a drawing takes a hundred calls of a few microseconds, and each releases Python's lock. Several
        threads would only pass the lock around, so one thread is at drawings at a time, except while the networks run. A
        photo takes few long calls, which run in parallel.
        """
        source = job.request.picture()
        picture = self._decode(source, job) if isinstance(source, bytes) else source
        job.frame, job.pixels = picture.frame, picture.pixels.size // 3
        job.picture = picture if self.comparison is not None or job.request.keep else None
        if job.request.number:
            return picture
        with job.turn, job.trace.timed("find"):
            return begin(picture)

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

    def _predict(self, found: Mapping[int, Found], jobs: Sequence["_Job"]) -> dict[int, Predictions]:
        glyphs = [glyph for digits in found.values() for glyph in digits]
        stack = np.stack([glyph.pixels for glyph in glyphs])
        scores = self.model.classifier.predict(stack)
        wanted = [jobs[place].request.include_glyph for place, digits in found.items() for _ in digits]
        answers = judge(self.model.classifier, glyphs, scores, wanted)
        ends = accumulate(len(digits) for digits in found.values())
        return {
            place: tuple(answers[end - len(digits) : end]) for (place, digits), end in zip(found.items(), ends, strict=True)
        }

    def _infer(self, inferences: Mapping[int, Inference]) -> dict[int, Inferred]:
        tensors = [self._to_tensors(inference.rows) for inference in inferences.values()]
        logits = self.model.classifier.run(np.concatenate(tensors))
        ends = np.cumsum([len(rows) for rows in tensors])[:-1]
        parts = zip(np.split(logits.digits, ends), np.split(logits.no_digit, ends), strict=True)
        return {
            place: Inferred(inference, Logits(*part), self.model.classifier)
            for (place, inference), part in zip(inferences.items(), parts, strict=True)
        }

    def _to_tensors(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        return self.model.classifier.preprocess(rows) if rows.dtype == np.uint8 else rows


@dataclass
class _Job:
    """A picture in progress.

    picture: for a comparison, or to be kept with its answer; state: the result of the last step; windows: for a second look;
    found: the digits that are to be inferred; glyphs: of a reading; turn: held during a step.
    """

    request: PictureRequest
    trace: Trace
    patient: bool
    frame: int = 0
    pixels: int = 0
    picture: Picture | None = None
    state: Any = None
    windows: Sequence[Window] = ()
    found: Found = ()
    reading: Reading | None = None
    glyphs: tuple[Glyph, ...] = ()
    failure: Exception | None = None
    turn: AbstractContextManager[object] = NO_TURN

    @property
    def held(self) -> int:
        """Pixels that are in memory until the answer is known, to be kept with it."""
        return self.pixels if self.picture and self.request.keep else 0

    def take(self, step: Callable[["_Job"], Picture | Begun | Picked | Reading | tuple[Steps, ...]]) -> None:
        """Takes a step and drops the result of the previous one, which may hold a picture of 3 MB, or windows and looks."""
        made = _attempt(step, self)
        self.state = made if isinstance(made, Picture | Begun | Picked) else None
        if isinstance(made, Reading):
            self.reading = made
        elif isinstance(made, tuple):
            self.windows, self.found = (), tuple(note_frame(steps, self.frame).glyph for steps in made)
            self.trace.measured = tuple(glyph.measurements for glyph in self.found)
        elif isinstance(made, Exception):
            self.fail(made)

    def fail(self, error: Exception) -> None:
        """Makes an error of a step the result, and drops all else."""
        self.state, self.windows, self.picture, self.failure = None, (), None, error


def _compare(comparison: Comparison, jobs: Sequence[_Job], results: Mapping[int, Predictions | Reading | Exception]) -> None:
    read = []
    for place, job in enumerate(jobs):
        result = results.get(place)
        if job.picture and isinstance(result, tuple | Reading):
            text = result.text if isinstance(result, Reading) else str(result[0].digit)
            read.append(Compared(job.picture, text, job.request.number))
    if read:
        comparison.compare(read)


def decode_at_once(decoder: Decoder, data: bytes) -> Picture:
    """Decodes by the quickest way; the caller may have to wait."""
    header = read_png_header(data)
    return (decoder.decode_plain(data, header) if header else None) or decoder.decode(data)


def note_frame(steps: Steps, frame: int) -> Steps:
    """The steps, with a warning where the glyph comes from a later frame of an animation."""
    if not frame:
        return steps
    return replace(steps, glyph=replace(steps.glyph, warnings=(*steps.glyph.warnings, tell_frame(frame))))


def _pick(job: _Job, look: Look) -> Picked:
    with job.turn, job.trace.timed("find"):
        picked = pick(job.state, look, job.request.most)
        job.windows = picked.windows
        return picked


def _draw(job: _Job, looks: Sequence[Look]) -> tuple[Steps, ...]:
    with job.turn, job.trace.timed("find"):
        return draw(job.state, job.windows, looks)


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


def _outcome_of(
    job: _Job, result: Predictions | Reading | Exception, inferring: Trace, pause: Callable[[], None]
) -> PictureOutcome:
    """The outcome of a picture, which is let go of: what is kept of it is a small part."""
    glyphs = job.glyphs or job.found
    picture, job.picture, kept = job.picture, None, None
    if picture and job.request.keep and not isinstance(result, Exception):
        pause()
        kept = job.request.keep(result, picture)
    return _outcome(result, job.trace, inferring if job.found else None, glyphs, kept)


def _outcome(
    result: Result | Exception,
    trace: Trace,
    inferring: Trace | None,
    glyphs: tuple[Glyph, ...] = (),
    kept: Any = None,
) -> Outcome[Result]:
    if inferring:
        trace.seconds |= inferring.seconds
        trace.starts |= inferring.starts
    return Outcome(result, trace.seconds, trace.starts, trace.measured, glyphs, kept)
