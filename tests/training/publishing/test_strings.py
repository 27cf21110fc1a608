"""How strings are weighed is fitted on made scenes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.reading.infer.record import StringWeights
from app.reading.infer.store import find_model
from app.reading.numbers.evidence import FEATURES
from app.reading.reader import Reader
from app.settings import Settings
from tests.versions import SHIPPED
from training.data.hands import Hands
from training.publishing.strings import fit, make_scenes, see, write


@pytest.fixture(scope="module")
def hands(full_data_dir: Path) -> Hands:
    return Hands.load(full_data_dir, "validation", None, with_fonts=False, with_uci=False)


def test_scenes_are_the_same_each_time_and_upright(hands: Hands) -> None:
    one, other = (list(make_scenes(hands, 4)) for _ in range(2))

    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))
    assert all(scene.turn == 0 for scene in one)


def test_weights_prefer_what_looks_like_a_digit(hands: Hands, reader: Reader) -> None:
    samples = [see(reader.model, scene) for scene in make_scenes(hands, 24)]

    weights = fit(samples)

    assert len(weights.features) == len(FEATURES) + 1
    told = dict(zip(FEATURES, weights.features, strict=False))
    assert told["first"] + told["second"] + told["energy"] > 0
    assert weights.string[0] > 0
    assert 0 <= weights.accepted <= 1


def test_the_weights_are_noted_in_the_versions_record(tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(Settings().model_store, store)
    weights = StringWeights(classifier=0.9, finder=0.2, accepted=0.5)

    write(find_model(store, "digits", SHIPPED), weights)

    stored = find_model(store, "digits", SHIPPED)
    assert stored.record.strings == weights
    stored.verify()
