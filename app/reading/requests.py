"""What is asked of a batch, and what comes of it: pictures or tensors on the way in, an outcome for each on the way out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

from numpy.typing import NDArray

from app.reading.answer import Prediction, Reading
from app.reading.decode.fast_decoders import looks_heavy, may_be_plain
from app.reading.decode.picture import Picture
from app.reading.find.measure import Measurements
from app.reading.find.steps import Glyph
from app.reading.infer.classifier import DigitClassifier, Logits
from app.reading.numbers.read import NumberOptions

Result = TypeVar("Result")


@dataclass(frozen=True)
class PictureRequest:
    """A picture to read with others: the call gives its bytes or its pixels, or raises what is wrong with it.

    most: how many digits are answered at most, the most prominent ones; waits: whether it is known already that it must wait
    for a decoder; heavy: whether decoding it may then take long; until: its deadline, by the monotonic clock; number: how all
    of its digits are read, instead of some; keep: makes of an answer and its picture what the outcome keeps of the picture; a
    worker calls it, and it must not raise.
    """

    picture: Callable[[], bytes | Picture]
    include_glyph: bool = False
    waits: bool = False
    heavy: bool = False
    most: int = 1
    until: float = inf
    number: NumberOptions | None = None
    keep: Callable[[tuple[Prediction, ...] | Reading, Picture], Any] | None = None

    @classmethod
    def of(cls, data: bytes, include_glyph: bool = False, number: NumberOptions | None = None) -> "PictureRequest":
        """The request to read a picture whose bytes are here."""
        return cls(lambda: data, include_glyph, not may_be_plain(data), looks_heavy(data), number=number)

    @property
    def is_slow(self) -> bool:
        """Whether it may take long: it waits for a decoder, or all of its digits are read."""
        return self.waits or self.number is not None

    def opened(self, data: bytes) -> "PictureRequest":
        """The same, with the bytes that its picture has given."""
        return replace(self, picture=lambda: data, waits=True, heavy=looks_heavy(data))


class MustWait(Exception):
    """The result of a picture whose decoding may take long, for a caller that must not wait. data: its bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__("The picture must be decoded elsewhere.")
        self.data = data


class Compared(NamedTuple):
    """A picture that was read, for another version to read it too.

    text: the digit, or all of them with line breaks; number: how all were read; None where only the most prominent one was.
    """

    picture: Picture
    text: str
    number: NumberOptions | None = None


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
    """The logits of the rows of an inference, and the classifier that computed them."""

    inference: Inference
    logits: Logits
    classifier: DigitClassifier


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """The result of one of several requests that were worked on together, with the wall time of each stage.

    starts: when each stage began, by perf_counter; measured: the measurements of each digit that was found; glyphs: those
    digits; kept: what the request's keep has made, of an answer that is not an error.
    """

    result: Result | Exception
    seconds: dict[str, float]
    starts: dict[str, float] = field(default_factory=dict)
    measured: tuple[Measurements, ...] = ()
    glyphs: tuple[Glyph, ...] = ()
    kept: Any = None


Predictions = tuple[Prediction, ...]  # of one picture, the most prominent digit first; at least one
PictureOutcome = Outcome[Predictions | Reading]
TensorOutcome = Outcome[Inferred]


def most_prominent(result: Predictions | Reading | Exception) -> Prediction | Exception:
    """The first prediction, for callers that asked for digits; an error stays as it is."""
    if isinstance(result, Reading):
        raise TypeError("A reading was asked for.")
    return result if isinstance(result, Exception) else result[0]


def all_digits(result: Predictions | Reading | Exception) -> Reading | Exception:
    """The reading, for callers that asked for one; an error stays as it is."""
    if isinstance(result, tuple):
        raise TypeError("Digits were asked for.")
    return result
