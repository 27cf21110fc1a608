"""What npm fetches for the page: taken from a package, and refused unless it is the pinned one."""

import base64
import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from app.web.page.onnxruntime_web import NpmPackage, fetch

SCRIPT = b"export {};"


def pack(data: bytes) -> bytes:
    """The archive of a package with one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/dist/a.js")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


ARCHIVE = pack(SCRIPT)
PACKAGE = NpmPackage("some", "1.2.3", base64.b64encode(hashlib.sha512(ARCHIVE).digest()).decode(), ("dist/a.js",))


@pytest.fixture
def npm(tmp_path: Path) -> str:
    """A program that packs as npm does: the archive into the folder after --pack-destination, for the one release it has."""
    (tmp_path / "archive").write_bytes(ARCHIVE)
    program = tmp_path / "npm"
    program.write_text(f'#!/bin/sh\n[ "$6" = some@1.2.3 ] && cp "{tmp_path}/archive" "$5/some-1.2.3.tgz"\n', encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def test_npm_fetches_the_pinned_release(npm: str) -> None:
    assert fetch(PACKAGE, npm) == {"a.js": SCRIPT}


def test_another_archive_than_the_pinned_one_is_refused(npm: str) -> None:
    with pytest.raises(ValueError, match=r"not the pinned some@1\.2\.3: its sha512 differs"):
        fetch(replace(PACKAGE, integrity="wrong"), npm)


@pytest.mark.parametrize("absent", ["npm", "release"])
def test_without_npm_or_the_release_the_error_says_what_fetches_it(absent: str, npm: str) -> None:
    with pytest.raises(OSError, match=r"npm, which comes with Node\.js, could not fetch some@"):
        fetch(PACKAGE, "/nowhere/npm") if absent == "npm" else fetch(replace(PACKAGE, version="9"), npm)
