"""The reference for drift: measured on the same pictures for every model, and written once."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.reading.infer.record import MEASURES
from app.reading.infer.store import find_model
from app.settings import Settings
from tests.versions import SHIPPED
from training.data.mnist import Split
from training.publishing.drift_reference import measure_reference, take_pictures


@pytest.fixture
def validation(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> Split:
    return Split(torch.from_numpy(excerpt[0][:30]), torch.from_numpy(excerpt[1][:30]).long())


def test_the_pictures_are_always_the_same(validation: Split) -> None:
    assert list(take_pictures(validation)) == list(take_pictures(validation))


def test_the_reference_covers_photos_and_drawings(validation: Split) -> None:
    kinds = {data[:4] for data in take_pictures(validation)}

    assert kinds == {b"\xff\xd8\xff\xe0", b"\x89PNG"}


def test_a_reference_describes_the_answers_of_the_model(validation: Split) -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)

    reference = measure_reference(model, validation)

    assert reference is not None
    true = np.bincount(validation.labels.numpy(), minlength=10) / 30
    assert reference.pictures == 30
    assert np.abs(np.array(reference.digits) - true).sum() / 2 < 0.1
    assert 0.03 < reference.means["stroke_width"] < 0.25
    assert reference == measure_reference(model, validation)


def test_the_shipped_version_has_its_reference() -> None:
    reference = find_model(Settings().model_store, "digits", SHIPPED).read_reference()

    assert reference is not None
    assert reference.pictures >= 950
    assert sum(reference.digits) == pytest.approx(1, abs=0.01)
    assert set(reference.means) == set(reference.deviations) == set(MEASURES)
    assert all(deviation > 0 for deviation in reference.deviations.values())
