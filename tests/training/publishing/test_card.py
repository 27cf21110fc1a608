"""The model card: what it says of data and checkpoint follows from how the version was made."""

from dataclasses import asdict, replace

import pytest

from app.reading.infer.record import ModelRecord
from app.reading.infer.store import find_model
from app.settings import Settings
from tests.versions import SHIPPED
from training.learning.config import TrainConfig
from training.learning.recipes import CORRECTING, RECIPES
from training.publishing.card import card

LEARNED = replace(CORRECTING, start="store/digits/3", finder="store/digits/3", corrections="0123456789abcdef")


def record(config: TrainConfig) -> ModelRecord:
    """The shipped version's, as if it had been made by that config."""
    shipped = find_model(Settings().model_store, "digits", SHIPPED).record
    return shipped.model_copy(update={"config": asdict(config)})


@pytest.mark.parametrize(
    ("config", "said", "unsaid"),
    [
        (TrainConfig(), ["MNIST (Y. LeCun", "Its writers are American"], ["UNIPEN", "learned corrections"]),
        (replace(RECIPES["reader"], finder="runs/finder"), ["UNIPEN", "handwriting fonts"], ["learned corrections"]),
        (LEARNED, ["UNIPEN", "handwriting fonts", "learned corrections"], ["Its writers are American"]),
    ],
    ids=["MNIST alone", "scenes", "corrections"],
)
def test_the_card_names_all_that_was_learned(config: TrainConfig, said: list[str], unsaid: list[str]) -> None:
    text = card(record(config))
    data = text[text.index("## Data") : text.index("## Recipe")]

    assert all(each in data for each in said)
    assert not any(each in data for each in unsaid)


def test_the_card_of_a_mean_says_of_what(record_of_a_mean: ModelRecord) -> None:
    assert "The checkpoint is the mean of runs/one and runs/other, of one seed;" in card(record_of_a_mean)


@pytest.fixture
def record_of_a_mean() -> ModelRecord:
    """That of a run by ``average``, which has no evaluations."""
    made = record(replace(RECIPES["reader"], start="the mean of runs/one and runs/other", epochs=0))
    left_out = ("evaluations", "best_step", "last_step", "seeds")
    return made.model_copy(update={"metrics": {name: value for name, value in made.metrics.items() if name not in left_out}})
