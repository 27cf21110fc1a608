"""Finds the files in a folder or of a pattern, one by one, so that a million paths are never in memory together."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from app.errors import BulkError

ANY_DEPTH = "**"
MAGIC = re.compile(r"[*?\[]")


def find_files(source: str, skip: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """The files in a folder at any depth, or those that a pattern of ``*``, ``?``, ``[…]`` and one ``**`` matches.

    Files come in the order of the file system. A name that begins with a dot matches only a part of the pattern that begins
    with a dot. ``**`` does not follow links to folders. A link to itself is a file, which cannot be read.

    skip: told, at least once, of each folder that may not be listed; without it, such a folder is an error.

    Raises:
        BulkError: the pattern has more than one ``**``, so a file could be found twice.
        OSError: a folder cannot be listed.
    """
    path = Path(source)
    if path.is_file():
        return iter([path])
    if path.is_dir():
        return _match(path, (ANY_DEPTH, "*"), skip)
    parts = path.parts
    if parts.count(ANY_DEPTH) > 1:
        raise BulkError(f"The pattern {source} contains ** more than once; use it once at most.")
    if parts[-1:] == (ANY_DEPTH,):
        parts = (*parts, "*")
    fixed = next((place for place, part in enumerate(parts) if MAGIC.search(part)), len(parts) - 1)
    return _match(Path(*parts[:fixed]), parts[fixed:], skip)


def _match(folder: Path, parts: Sequence[str], skip: Callable[[Path], object] | None) -> Iterator[Path]:
    first, *rest = parts
    if first == ANY_DEPTH:
        yield from _match(folder, rest, skip)
    try:
        listing = os.scandir(folder)
    except PermissionError:
        if skip is None:
            raise
        skip(folder)
        return
    with listing as entries:
        for entry in entries:
            if first == ANY_DEPTH:
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    yield from _match(Path(entry.path), parts, skip)
            elif _fits(entry.name, first):
                if rest and _is_folder(entry):
                    yield from _match(Path(entry.path), rest, skip)
                elif not rest and _is_file(entry):
                    yield Path(entry.path)


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a file, or a link that leads nowhere the system can follow: its row then says why it cannot be read."""
    try:
        return entry.is_file()
    except OSError:
        return True


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _fits(name: str, part: str) -> bool:
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))
