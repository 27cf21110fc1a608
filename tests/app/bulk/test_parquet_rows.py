"""Reading Parquet files of pictures in pieces and chunks."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.bulk import parquet_rows
from app.bulk.parquet_rows import open_source, read_chunks
from app.errors import BulkError


def write(path: Path, count: int, group: int, **columns: Any) -> Path:
    pq.write_table(pa.table({"path": [f"{number}.png" for number in range(count)], **columns}), path, row_group_size=group)
    return path


def read(source: parquet_rows.Source, wanted: list[range]) -> list[tuple[int, str | None]]:
    return [
        (chunk.first + place, path)
        for piece in source.pieces(wanted)
        for chunk in read_chunks(piece)
        for place, path in enumerate(chunk.paths)
    ]


@pytest.mark.parametrize("group", [7, 600, 5000], ids="groups of {}".format)
@pytest.mark.parametrize(
    "wanted",
    [[range(2000)], [range(3), range(599, 601), range(1990, 2000)], []],
    ids=["all", "some", "none"],
)
def test_pieces_cover_each_wanted_row_exactly_once(tmp_path: Path, group: int, wanted: list[range]) -> None:
    source = open_source([write(tmp_path / "a.parquet", 1000, group), write(tmp_path / "b.parquet", 1000, group)])

    found = read(source, wanted)

    assert source.rows == 2000
    assert found == [(number, f"{number % 1000}.png") for some in wanted for number in some]


def test_a_large_row_group_is_split_into_pieces(tmp_path: Path) -> None:
    source = open_source([write(tmp_path / "a.parquet", 5000, 5000)])

    pieces = list(source.pieces([range(5000)]))

    assert len(pieces) == 10
    assert sum(piece.rows for piece in pieces) == 5000


def test_large_rows_are_read_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "CHUNK_BYTES", 10_000)
    images = [bytes([number]) * 1000 for number in range(100)]
    source = open_source([write(tmp_path / "a.parquet", 100, 100, image=pa.array(images))])

    (piece,) = source.pieces([range(100)])
    chunks = list(read_chunks(piece))

    assert max(len(chunk.images) for chunk in chunks) <= 10
    assert [image for chunk in chunks for image in chunk.images] == images


def test_pictures_as_hugging_face_stores_them_are_read(tmp_path: Path) -> None:
    images = pa.array([{"bytes": b"one", "path": "1.png"}, {"bytes": None, "path": None}])
    source = open_source([write(tmp_path / "a.parquet", 2, 2, image=images)])

    (piece,) = source.pieces([range(2)])
    (chunk,) = read_chunks(piece)

    assert chunk.images == [b"one", None]


def test_ids_keep_their_type(tmp_path: Path) -> None:
    source = open_source([write(tmp_path / "a.parquet", 2, 2, id=pa.array(["x", "y"]))])

    (piece,) = source.pieces([range(2)])
    (chunk,) = read_chunks(piece)

    assert source.id_type == pa.string()
    assert chunk.ids.to_pylist() == ["x", "y"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["a"]}, "neither a column `image`"),
        ({"image": [3]}, "`image` has the type int64"),
        ({"image": [{"data": b""}]}, "`image` has the type struct"),
        ({"path": [3]}, "`path` has the type int64"),
    ],
    ids=["neither", "numbers", "struct", "path"],
)
def test_unsuitable_columns_are_named(tmp_path: Path, columns: dict[str, list[Any]], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")

    with pytest.raises(BulkError, match=message):
        open_source([tmp_path / "a.parquet"])


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no")

    with pytest.raises(BulkError, match=r"a\.parquet is not a Parquet file"):
        open_source([tmp_path / "a.parquet"])


@pytest.mark.parametrize("damage", [bytes(20), b"\xff"], ids=["a page", "a letter"])
def test_damaged_rows_are_named_by_file_and_row_group(tmp_path: Path, damage: bytes) -> None:
    path = write(tmp_path / "a.parquet", 2, 1)
    overwrite(path, path.read_bytes().index(b"1.png"), damage)
    first, second = open_source([path]).pieces([range(2)])

    assert [chunk.paths for chunk in read_chunks(first)] == [["0.png"]]
    with pytest.raises(BulkError, match=r"^Row group 1 of .*a\.parquet cannot be read: .* --restart\.$"):
        list(read_chunks(second))


def overwrite(path: Path, place: int, what: bytes) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:place] + what + data[place + len(what) :])


def test_a_damaged_footer_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", 1, 1)
    size = int.from_bytes(path.read_bytes()[-8:-4], "little")
    overwrite(path, path.stat().st_size - 8 - size, b"\xff" * 9)

    with pytest.raises(BulkError, match=r"a\.parquet cannot be read: "):
        open_source([path])


def test_files_whose_ids_differ_in_type_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.parquet", 1, 1, id=[1]), write(tmp_path / "b.parquet", 1, 1, id=["b"])]

    with pytest.raises(BulkError, match="int64, string"):
        open_source(files)
