"""The parts of a bulk run on disk."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bulk.checkpoint import Part, commit, gaps, list_parts, merge
from app.errors import BulkError

SCHEMA = pa.schema([("id", pa.int64()), ("code", pa.string())])


def rows(first: int, end: int) -> pa.Table:
    return pa.table([list(range(first, end)), ["odd" if row % 2 else None for row in range(first, end)]], schema=SCHEMA)


@given(st.sets(st.integers(0, 40)))
def test_parts_and_gaps_cover_each_row_exactly_once(done: set[int]) -> None:
    parts = [Part(row, 1) for row in sorted(done)]

    missing = [row for gap in gaps(parts, 41) for row in gap]

    assert sorted([*done, *missing]) == list(range(41))


def test_parts_are_merged_in_the_order_of_the_rows_and_not_of_writing(tmp_path: Path) -> None:
    for first, end in ((70_000, 100_000), (0, 3), (3, 70_000)):
        commit(rows(first, end), first, tmp_path)

    errors = merge(tmp_path, tmp_path / "out.parquet", 100_000, SCHEMA)

    merged = pq.read_table(tmp_path / "out.parquet")
    assert merged["id"].to_pylist() == list(range(100_000))
    assert errors == 50_000


def test_rows_that_two_parts_hold_are_merged_once(tmp_path: Path) -> None:
    for first, end in ((0, 5), (3, 8), (4, 6), (8, 9)):
        commit(rows(first, end), first, tmp_path)

    merge(tmp_path, tmp_path / "out.parquet", 9, SCHEMA)

    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == list(range(9))


@pytest.mark.parametrize("spans", [[(0, 3), (4, 6)], [(0, 3)], [(1, 6)]], ids=["middle", "end", "beginning"])
def test_no_output_is_written_while_a_row_is_missing(tmp_path: Path, spans: list[tuple[int, int]]) -> None:
    for first, end in spans:
        commit(rows(first, end), first, tmp_path)

    with pytest.raises(BulkError, match="row"):
        merge(tmp_path, tmp_path / "out.parquet", 6, SCHEMA)

    assert not (tmp_path / "out.parquet").exists()


def test_a_draft_left_by_a_kill_is_not_a_part(tmp_path: Path) -> None:
    commit(rows(0, 2), 0, tmp_path)
    (tmp_path / "part-000000000002-2.9.tmp").write_bytes(b"PAR1")

    assert list_parts(tmp_path) == [Part(0, 2)]
