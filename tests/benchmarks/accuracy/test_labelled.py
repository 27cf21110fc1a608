"""Pictures of one's own: which of them count, how strings are compared, and what the table says."""

from pathlib import Path

from benchmarks.accuracy.labelled import Score, add, describe, load_labels

LABELS = """path,label,kind,source,notes
a.png,3,photo,me,
b.png,4,photo,me,ambiguous
c.png,12/34,multi,you,
d.png,56,multi,you,scattered
e.png,,notdigit,me,scattered
"""


def test_pictures_that_people_do_not_agree_on_and_unordered_numbers_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(LABELS)

    assert [row.path.name for row in load_labels(tmp_path)] == ["a.png", "c.png", "e.png"]


def test_the_table_sums_up_sources_and_counts_digits_of_strings() -> None:
    scores = {
        ("multi", "you"): Score(of=4, right=3, digits=20, slips=1, wrong=["c.png"]),
        ("multi", "me"): Score(of=1, right=1, digits=5),
    }

    lines = list(describe(scores, by_source=True))

    assert "| multi | 4 of 5 (80.0%) | 0 | 0 | 0 | 96.0% |" in lines
    assert "| multi, me | 1 of 1 (100.0%) | 0 | 0 | 0 | 100.0% |" in lines
    assert add(list(scores.values())).wrong == ["c.png"]
