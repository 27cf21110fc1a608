"""Configs by name."""

from training.learning.augment import NAMES
from training.learning.loop import TrainConfig

RECIPES = {
    "plain": TrainConfig(),
    "shipped": TrainConfig(
        model="lean",
        epochs=25,
        learning_rate=3e-3,
        augment=NAMES,
        last_strength=0.3,
        photos=0.3,
        drawings=0.15,
        outliers=0.12,
        ema=0.999,
        eval_every=1320,
    ),
}
