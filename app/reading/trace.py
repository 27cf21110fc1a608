"""What a reading went through: each stage's result, and how long it took."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import process_time

from app.reading.decode.picture import Picture
from app.reading.find.finder import Look
from app.reading.find.measure import Measurements
from app.reading.find.steps import Steps
from app.reading.find.window import Window
from app.reading.numbers.read import NumberTrace


@dataclass(frozen=True)
class FirstLook:
    """The window that shows all of a picture, and what the finder saw in it."""

    window: Window
    look: Look


@dataclass
class Trace:
    """The intermediate results of a reading. After a refusal, it holds those of the stages before.

    clock: CPU time over all threads of the process, and of the one that decodes for it, unless another is given; seconds: the
    time of each stage that was reached (decode, find, infer), by that clock; starts: when each stage began, by the same clock.
    """

    clock: Callable[[], float] = process_time

    picture: Picture | None = None
    first: FirstLook | None = None
    steps: Steps | None = None  # of the digit that was answered
    read: NumberTrace | None = None  # where all digits were asked for
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
