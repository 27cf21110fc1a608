"""What an experiment is: every field is a flag of ``python -m training train``, whose help stands here with it."""

from dataclasses import dataclass, field
from typing import Any

from training.data.dice import GROUPS
from training.learning.augment import NAMES

RETIRED = ("photos", "drawings")  # fields of earlier configs, of glyphs that rules found
SOURCES = ("unipen", "fonts", "uci")  # of hands in the scenes; MNIST's are always there


def _option(default: Any, help: str, **limits: Any) -> Any:  # noqa: A002
    """A field with what the command line says of it.

    limits: min and max of a number; names: what a list of words may hold; flag: where it differs from the field's name.
    """
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class TrainConfig:
    """What an experiment is. Two runs of one config on one machine's CPU end in the same weights."""

    model: str = _option("small", "Network.")
    seed: int = _option(0, "Seed of all that is random.", min=0)
    epochs: int = _option(12, "Passes over the data.", min=1)
    batch_size: int = _option(128, "Digits or scenes a step.", min=2)
    learning_rate: float = _option(2e-3, "Peak of the one-cycle schedule.", min=0)
    weight_decay: float = _option(1e-2, "Weight decay a step, over the learning rate.", min=0)
    augment: tuple[str, ...] = _option((), "Distort each digit at random, anew in each epoch.", names=NAMES)
    last_strength: float = _option(1.0, "Strength of affine and elastic distortion at the end, 1 at first.", min=0, max=1)
    glyphs: float = _option(0.0, "Digits that --finder found in scenes, so many times MNIST's digits of an epoch.", min=0)
    outliers: float = _option(0.0, "The same, of what is not a digit, to be turned down.", min=0)
    finder: str = _option("", "A finished run of a finder, or a version of the store, whose glyphs are learned.")
    start: str = _option("", "A run or a version of the same network, whose weights to begin with.")
    scenes: int = _option(0, "Made scenes that the finder learns from, or that --finder takes glyphs from.", min=0)
    without: tuple[str, ...] = _option((), "Leave out of a finder's scenes: effects, or hands.", names=(*GROUPS, *SOURCES))
    ema: float = _option(0.0, "Decay a step of the weights' moving average, which is what is kept.", min=0, max=1)
    smoothing: float = _option(0.0, "Smoothing of the labels.", min=0, max=1)
    teachers: tuple[str, ...] = _option((), "A finished run to learn from too; may be given several times.", flag="--teacher")
    distil: float = _option(0.5, "Weight of what the teachers say, where there are any.", min=0, max=1)
    eval_every: int = _option(211, "Batches between evaluations.", min=1)
    patience: int = _option(12, "Evaluations without progress on validation before stopping.", min=1)
    threads: int = _option(1, "CPU threads; a part of the experiment, since sums round by it.", min=1)
    corrections: str = ""  # digest of the corrections that are learned too; `learn` writes it
    smoke: bool = False  # on a few digits of any data set in MNIST's format: no figure of it counts
