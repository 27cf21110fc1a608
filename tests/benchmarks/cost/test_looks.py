"""The cost of a look is measured next to a glyph's."""

from benchmarks.cost.looks import BATCHES, measure


def test_looks_and_glyphs_are_timed_in_turns() -> None:
    results = measure(turns=1)

    assert set(results) == set(BATCHES)
    assert all(look > glyph > 0 for look, glyph, _ in results.values())
