"""Strings next to their labels."""

import pytest

from app.evaluation.numbers import edits


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [("", "", 0), ("123", "123", 0), ("123", "13", 1), ("13", "123", 1), ("173", "123", 1), ("", "45", 2), ("321", "123", 2)],
)
def test_edits_are_the_fewest(one: str, other: str, least: int) -> None:
    assert edits(one, other) == edits(other, one) == least
