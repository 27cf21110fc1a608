"""The cost of a look is measured next to a glyph's."""

from app.reading.infer.store import find_model
from app.settings import Settings
from benchmarks.cost.looks import BATCHES, measure
from tests.versions import SHIPPED


def test_looks_and_glyphs_are_timed_in_turns() -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)

    results = measure(model.path("finder"), model.path("float32"), turns=1)

    assert set(results) == set(BATCHES)
    assert all(look > glyph > 0 for look, glyph, _ in results.values())
