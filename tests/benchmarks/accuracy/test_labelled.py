"""Pictures of one's own: which of them count, and what the table says."""

from pathlib import Path

from benchmarks.accuracy.labelled import Score, add, describe, load_labels

LABELS = """path,label,kind,source,notes
a.png,3,photo,me,
b.png,4,photo,me,ambiguous
c.png,12/34,multi,you,
d.png,56,multi,you,scattered
e.png,,notdigit,me,scattered
"""


def test_pictures_that_people_do_not_agree_on_and_those_of_several_digits_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(LABELS)

    assert [row.path.name for row in load_labels(tmp_path)] == ["a.png", "e.png"]


def test_the_table_sums_up_sources() -> None:
    scores = {
        ("photo", "you"): Score(of=4, right=3, accepted=2, accepted_wrong=1, wrong=["c.png"]),
        ("photo", "me"): Score(of=1, right=1, accepted=1),
    }

    lines = list(describe(scores, by_source=True))

    assert "| photo | 4 of 5 (80.0%) | 0 | 3 | 1 |" in lines
    assert "| photo, me | 1 of 1 (100.0%) | 0 | 1 | 0 |" in lines
    assert add(list(scores.values())).wrong == ["c.png"]
