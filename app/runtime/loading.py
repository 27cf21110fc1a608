"""Loads the model and the decoder that the settings name."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.reading.decode.picture import Decoder, InProcessDecoder
from app.reading.infer.store import find_model
from app.reading.model import DigitModel
from app.reading.onnx_session import CudaOptions
from app.reading.reader import Reader
from app.settings import Settings

logger = logging.getLogger(__name__)


def load_reader(settings: Settings) -> Reader:
    """Loads and proves the model that the settings name, ready to read; pictures are decoded in this process.

    Raises:
        StartupError: the model cannot be served; the message names it and the reason.
    """
    return Reader(load_model(settings), InProcessDecoder(settings))


def load_model(settings: Settings) -> DigitModel:
    """Opens and proves the model that the settings name.

    Raises:
        StartupError: the model cannot be served; the message names it and the reason.
    """
    stored = find_model(settings.model_store, settings.model_name, settings.model_version)
    cuda = CudaOptions(tuple(settings.cuda_batch_sizes), settings.cuda_precision)
    return DigitModel.load(stored, settings.provider, settings.intra_op_threads, cuda)


@contextmanager
def open_decoder(settings: Settings, processes: int | None = None) -> Iterator[Decoder]:
    """On Linux, a decoder behind the wall: separate processes that a picture may kill.

    On other systems this process decodes, and a warning says so. The processes start in the background, so the caller can do
    other work before the first picture.

    Raises:
        StartupError: the processes cannot be started.
    """
    if sys.platform != "linux":
        logger.warning("pictures are decoded in the service's own process, where a bad one may harm others; Linux has better")
        yield InProcessDecoder(settings)
        return
    from app.runtime.decoder_processes import DecoderProcesses  # noqa: PLC0415  works on Linux only
    from app.runtime.decoder_protocol import Costs  # noqa: PLC0415  as above

    costs = Costs(settings.decoder_bytes, settings.decoder_seconds)
    decoder = DecoderProcesses(settings, costs, processes or settings.decoders)
    try:
        yield decoder
    finally:
        decoder.close()


@contextmanager
def open_reader(settings: Settings) -> Iterator[Reader]:
    """A reader with one decoder process, for a program that reads one picture after another.

    Raises:
        StartupError: the model cannot be used; the message names it and the reason.
    """
    with open_decoder(settings, processes=1) as decoder:
        model = load_model(settings)
        start_decoder(decoder)
        yield Reader(model, decoder)


def start_decoder(decoder: Decoder) -> None:
    """Waits until the decoder is ready.

    Raises:
        StartupError: the decoder cannot start.
    """
    start = getattr(decoder, "start", None)
    if start:
        start()
