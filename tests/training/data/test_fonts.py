import stat
import tarfile
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from training.data.fonts import Font, fetch_fonts, load_fonts, split_of, table
from training.errors import DataError

DATA = b"not a font, but bytes with a checksum"
FONT = Font("some-hand.woff", "@hands/some-hand", "1.2.3", "OFL-1.1", sha256(DATA).hexdigest(), handwriting=True)


def npm(folder: Path, data: bytes, member: str = "package/files/some-hand-latin-400-normal.woff") -> str:
    """A program that packs as npm does: the archive into the folder after --pack-destination."""
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.size = len(data)
        tar.addfile(info, BytesIO(data))
    (folder / "pack.tgz").write_bytes(archive.getvalue())
    program = folder / "npm"
    program.write_text(
        f'#!/bin/sh\n[ "$5" = "@hands/some-hand@1.2.3" ] && cp {folder}/pack.tgz "$4"/hands-some-hand-1.2.3.tgz\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_every_font_has_a_free_licence_a_version_and_a_checksum() -> None:
    fonts = table()

    assert len(fonts) == len({font.file for font in fonts}) == 65
    for font in fonts:
        assert font.licence in {"OFL-1.1", "Apache-2.0"}
        assert len(font.sha256) == 64
        assert font.version.count(".") == 2


def test_each_split_has_handwriting_fonts_and_most_are_for_training() -> None:
    of = {
        name: [font for font in table() if font.handwriting and split_of(font) == name]
        for name in ("train", "validation", "test")
    }

    assert len(of["train"]) > 2 * len(of["validation"])
    assert min(map(len, of.values())) >= 4


def test_a_missing_font_is_fetched_by_npm_and_kept(tmp_path: Path) -> None:
    fetch_fonts([FONT], tmp_path / "fonts", npm(tmp_path, DATA))
    fetch_fonts([FONT], tmp_path / "fonts", "/no/npm/is/asked/again")

    assert (tmp_path / "fonts" / FONT.file).read_bytes() == DATA


@pytest.mark.parametrize(
    ("data", "member", "message"),
    [
        (b"another", "package/files/some-hand-latin-400-normal.woff", "is not the known file"),
        (DATA, "package/elsewhere.woff", "does not hold package/files/some-hand-latin-400-normal.woff"),
    ],
    ids=["another file", "another place"],
)
def test_another_package_is_not_kept(data: bytes, member: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        fetch_fonts([FONT], tmp_path / "fonts", npm(tmp_path, data, member))

    assert not (tmp_path / "fonts" / FONT.file).exists()


@pytest.mark.parametrize("failing", ["/nowhere/npm", "false"], ids=["no npm", "npm fails"])
def test_without_npm_it_says_what_to_do(failing: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"npm could not fetch(.|\n)*or train without fonts"):
        fetch_fonts([replace(FONT, file="other.woff")], tmp_path / "fonts", failing)


def test_a_font_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "fonts"
    folder.mkdir()
    for font in table():
        (folder / font.file).write_bytes(b"changed")

    with pytest.raises(DataError, match="is not the known file"):
        load_fonts(tmp_path)
