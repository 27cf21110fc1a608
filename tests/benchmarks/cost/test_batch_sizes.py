"""Images per second by batch size, on the device of the model."""

from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.store import find_model
from app.settings import Settings
from benchmarks.cost.batch_sizes import measure
from tests.versions import SHIPPED


def test_each_size_is_timed_in_each_turn() -> None:
    classifier = DigitClassifier.load(find_model(Settings().model_store, "digits", SHIPPED), "cpu", 1)

    seconds = measure(classifier, turns=2, sizes=(1, 64))

    assert list(seconds) == [1, 64]
    assert all(len(values) == 2 and (values > 0).all() for values in seconds.values())
