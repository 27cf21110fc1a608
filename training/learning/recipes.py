"""Configs by name."""

from dataclasses import replace

from training.learning.augment import NAMES
from training.learning.config import TrainConfig

FINDER = TrainConfig(
    model="finder", epochs=35, batch_size=64, learning_rate=4e-3, scenes=40_000, ema=0.999, eval_every=500, patience=100
)
READER = TrainConfig(
    model="open",
    epochs=16,
    learning_rate=3e-3,
    augment=NAMES,
    last_strength=0.3,
    scenes=16_000,
    glyphs=1.0,
    outliers=0.3,
    ema=0.999,
    eval_every=500,
    patience=100,
)

CORRECTING = TrainConfig(  # begins with the served version, and looks at validation at the end alone: the last is kept
    model="open",
    epochs=4,
    learning_rate=5e-4,
    augment=NAMES,
    last_strength=0.3,
    scenes=2_000,
    glyphs=1.0,
    outliers=0.3,
    ema=0.99,
    eval_every=1_000_000,
)

RECIPES = {
    "plain": TrainConfig(),
    "finder": FINDER,
    "reader": READER,
    "finder-fast": replace(FINDER, scenes=12_000, epochs=8, ema=0.99),
    "reader-fast": replace(READER, scenes=4_000, epochs=3, glyphs=0.4, outliers=0.15, ema=0.99),
}
