"""Each field of the config is one flag, with its help, limits and default."""

from dataclasses import fields

import pytest
import typer

from tests.training.commands import training
from training.learning.config import TrainConfig
from training.options import read_flags


def test_each_described_field_is_a_flag_with_its_help() -> None:
    text = " ".join(training("train", "--help").stdout.split())

    for each in fields(TrainConfig):
        if "help" in each.metadata:
            flag = each.metadata.get("flag", f"--{each.name.replace('_', '-')}")
            assert flag[:12] in text, flag


def test_only_what_was_given_counts() -> None:
    flags = {"model": None, "epochs": 3, "augment": "affine,noise", "teachers": ["a", "b"], "without": None}

    assert read_flags(flags) == {"epochs": 3, "augment": ("affine", "noise"), "teachers": ("a", "b")}


@pytest.mark.parametrize(("text", "ways"), [("none", 0), ("all", 8), ("blur", 1)])
def test_lists_have_words_for_all_and_none(text: str, ways: int) -> None:
    assert len(read_flags({"augment": text})["augment"]) == ways


def test_an_unknown_word_is_told() -> None:
    with pytest.raises(typer.BadParameter, match="warp: none of affine"):
        read_flags({"augment": "affine,warp"})


def test_flags_make_a_config() -> None:
    config = TrainConfig(**read_flags({"without": "lights,unipen", "scenes": 7, "learning_rate": 0.1}))

    assert config == TrainConfig(without=("lights", "unipen"), scenes=7, learning_rate=0.1)
