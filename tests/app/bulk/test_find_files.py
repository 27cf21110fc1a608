"""Finding the files in a folder or of a pattern."""

import os
from pathlib import Path

import pytest

from app.bulk.find_files import find_files
from app.errors import BulkError

FILES = ["a.png", "b.jpg", "x/c.png", "x/y/d.png", "x/.hidden.png", ".cache/e.png", "[odd]/f.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "x" / "loop").symlink_to(tmp_path, target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", ["[odd]/f.png", "a.png", "b.jpg", "x/c.png", "x/y/d.png"]),
        ("*.png", ["a.png"]),
        ("*/*.png", ["[odd]/f.png", "x/c.png"]),
        ("**/*.png", ["[odd]/f.png", "a.png", "x/c.png", "x/y/d.png"]),
        ("x/**", ["x/c.png", "x/y/d.png"]),
        ("x/**/y/*", ["x/y/d.png"]),
        ("x/.*", ["x/.hidden.png"]),
        (".cache/*", [".cache/e.png"]),
        ("[ab].*", ["a.png", "b.jpg"]),
        ("[odd]/f.png", ["[odd]/f.png"]),
        ("[odd]", ["[odd]/f.png"]),
        ("a.png", ["a.png"]),
        ("none.png", []),
        ("*/none/*", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pattern_finds_each_of_its_files_once(folder: Path, pattern: str, found: list[str]) -> None:
    files = [str(path.relative_to(folder)) for path in find_files(str(folder / pattern))]

    assert sorted(files) == found


def test_a_pattern_that_could_find_a_file_twice_is_refused(folder: Path) -> None:
    with pytest.raises(BulkError, match=r"\*\* more than once"):
        find_files(str(folder / "**/x/**/*.png"))


def test_a_folder_that_may_not_be_listed_is_told_or_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one would not stop root."""
    scandir, skipped = os.scandir, set[Path]()

    def refuse(path: Path) -> object:
        if path.name == "y":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = [str(path.relative_to(folder)) for path in find_files(str(folder), skipped.add)]

    assert sorted(found) == ["[odd]/f.png", "a.png", "b.jpg", "x/c.png"]
    assert skipped == {folder / "x" / "y"}
    with pytest.raises(PermissionError):
        list(find_files(str(folder)))


def test_a_pattern_is_relative_to_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    assert [str(path) for path in find_files("x/*.png")] == ["x/c.png"]
    assert [str(path) for path in find_files("*.png")] == ["a.png"]
