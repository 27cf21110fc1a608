"""Loads what the settings name."""

from app.reading.decode.picture import InProcessDecoder
from app.reading.infer.classifier import CudaOptions, DigitClassifier
from app.reading.infer.store import find_model
from app.reading.reader import Reader
from app.settings import Settings


def load_reader(settings: Settings) -> Reader:
    """The model that the settings name, proven and ready to read.

    Raises:
        StartupError: it cannot be served; the message names it and the reason.
    """
    return Reader(load_classifier(settings), InProcessDecoder(settings))


def load_classifier(settings: Settings) -> DigitClassifier:
    """The model that the settings name, opened and proven.

    Raises:
        StartupError: it cannot be served; the message names it and the reason.
    """
    model = find_model(settings.model_store, settings.model_name, settings.model_version)
    cuda = CudaOptions(tuple(settings.cuda_batch_sizes), settings.cuda_precision)
    return DigitClassifier.load(model, settings.provider, settings.intra_op_threads, cuda)
