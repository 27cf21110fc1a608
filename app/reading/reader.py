"""The public reader: loads a model and reads pictures from bytes, files, images and arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.reading.answer import Prediction, Reading
from app.reading.batch import Comparison, Engine, decode_at_once, no_pause, note_frame
from app.reading.decode import opencv
from app.reading.decode.limits import DefaultLimits, Limits
from app.reading.decode.picture import Decoder, InProcessDecoder, Picture, to_picture
from app.reading.find.steps import Begun, Steps, begin, draw, pick
from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.store import MODEL_STORE, SERVED, find_model
from app.reading.judge import judge
from app.reading.model import DigitModel
from app.reading.numbers.read import MOST, NumberOptions, read_number
from app.reading.onnx_session import EXACT, CudaOptions, Provider
from app.reading.requests import PictureOutcome, PictureRequest, TensorOutcome, TensorRequest, most_prominent
from app.reading.trace import FirstLook, Trace

LAPTOP = DefaultLimits()
IN_PROCESS = InProcessDecoder(LAPTOP)

Source = bytes | str | Path | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class Reader:
    """Reads handwritten digits. Safe to call from several threads.

    >>> reader = Reader.load()
    >>> reader.read("photo.jpg").digit
    """

    model: DigitModel
    decoder: Decoder = IN_PROCESS
    comparison: Comparison | None = None
    _engine: Engine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_engine", Engine(self.model, self.decoder, self.comparison))

    @property
    def classifier(self) -> DigitClassifier:
        """The model's classifier."""
        return self.model.classifier

    @classmethod
    def load(  # noqa: PLR0913  each argument is an option
        cls,
        store: Path = MODEL_STORE,
        name: str = "digits",
        version: str = SERVED,
        *,
        provider: Provider = "auto",
        threads: int = 1,
        cuda: CudaOptions = EXACT,
        limits: Limits = LAPTOP,
        decoder: Decoder | None = None,
    ) -> "Reader":
        """Opens a version of a model and checks it against its golden glyphs and pictures.

        store: folder of models, each as NAME/VERSION/model.onnx; version: its number, or that which the store's pointer names;
        threads: of one inference; limits: for pictures that are decoded in this process, ignored if a decoder is given.

        Raises:
            StartupError: the model cannot be used; the message names it and the reason.
        """
        opencv.tune()
        model = DigitModel.load(find_model(store, name, version), provider, threads, cuda)
        return cls(model, decoder or InProcessDecoder(limits))

    @overload
    def read(self, source: Source, *, include_glyph: bool = False, trace: Trace | None = None) -> Prediction: ...
    @overload
    def read(self, source: list[Source], *, include_glyph: bool = False) -> list[Prediction | Exception]: ...
    def read(self, source: Source | list[Source], *, include_glyph: bool = False, trace: Trace | None = None) -> Any:
        """Reads the digit in a picture. For a list of pictures, returns the answer or the error of each, inferred together.

        source: the bytes of a file, its path, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4) of uint8; trace: for a
        single picture, filled with the intermediate results.

        Raises:
            RequestError: the picture cannot be read. A list raises nothing.
            OSError: the file cannot be opened.
        """
        if isinstance(source, list):
            requests = [PictureRequest(partial(_open, each), include_glyph) for each in source]
            return [most_prominent(outcome.result) for outcome in self.read_together(requests)]
        return self._read(source, include_glyph, trace or Trace())

    def read_number(
        self,
        source: Source,
        *,
        count: int | None = None,
        most: int = MOST,
        include_glyph: bool = False,
        trace: Trace | None = None,
    ) -> Reading:
        """Reads all digits in a picture.

        source: as for read; count: how many digits there are, if that is known; most: how many are read at most; trace: filled
        with the intermediate results.

        Raises:
            RequestError: the picture cannot be read, or nothing in it looks like a digit.
            OSError: the file cannot be opened.
        """
        trace = trace or Trace()
        picture = self._decode(source, trace)
        with trace.timed("find"):
            trace.read = read_number(self.model, picture, NumberOptions(count, most, include_glyph))
        trace.measured = trace.read.measured
        return trace.read.reading

    def read_together(
        self, requests: Sequence[PictureRequest], pause: Callable[[], None] = no_pause, *, patient: bool = True
    ) -> list[PictureOutcome]:
        """Reads the digits of each picture; see app.reading.batch.Engine."""
        return self._engine.read_together(requests, pause, patient=patient)

    def infer_together(self, requests: Sequence[TensorRequest]) -> list[TensorOutcome]:
        """Infers the rows of each request; see app.reading.batch.Engine."""
        return self._engine.infer_together(requests)

    def _read(self, source: Source, include_glyph: bool, trace: Trace) -> Prediction:
        picture = self._decode(source, trace)
        with trace.timed("find"):
            (steps,) = self._find(picture, trace)
        trace.steps = note_frame(steps, picture.frame)
        glyph = trace.steps.glyph
        trace.measured = (glyph.measurements,)
        with trace.timed("infer"):
            scores = self.classifier.predict(glyph.pixels[np.newaxis])
        (answer,) = judge(self.classifier, [glyph], scores, [include_glyph])
        return answer

    def _decode(self, source: Source, trace: Trace) -> Picture:
        """A source's picture; where CPU time is measured, that of a decoder process counts, too."""
        with trace.timed("decode"):
            opened = _open(source)
            picture = trace.picture = decode_at_once(self.decoder, opened) if isinstance(opened, bytes) else opened
        if trace.clock is process_time:
            trace.seconds["decode"] += picture.cpu_seconds
        return picture

    def _find(self, picture: Picture, trace: Trace) -> tuple[Steps, ...]:
        finder, begun = self.model.finder, begin(picture)
        if not isinstance(begun, Begun):
            return begun
        (look,) = finder.look([begun.window])
        trace.first = FirstLook(begun.window, look)
        picked = pick(begun, look)
        windows = picked.windows
        return draw(picked, windows, finder.look(windows))


def _open(source: Source) -> bytes | Picture:
    """The bytes of a file, or an image or array as a picture."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | Path):
        return Path(source).read_bytes()
    return to_picture(source)
