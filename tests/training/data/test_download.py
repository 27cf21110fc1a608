"""Missing pen strokes are fetched from UCI's archive, here a local server; without a network, the message names them."""

import gzip
import hashlib
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import pytest

from tests.training.commands import training
from tests.training.data.test_pen_strokes import TEXT
from training.data import download, pen_strokes
from training.data.pen_strokes import FILE, MEMBER, load_strokes
from training.errors import DataError

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens


def compress(data: bytes) -> bytes:
    """Data in compress's format, as literals of 9 bits; the table is cleared before it would ask for longer codes."""
    codes = [code for start in range(0, len(data), 255) for code in (*data[start : start + 255], 256)]
    bits: int = sum(code << 9 * place for place, code in enumerate(codes))
    return b"\x1f\x9d\x90" + bits.to_bytes(-(-9 * len(codes) // 8), "little")


def zipped(name: str, data: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pendigits.names", "what is in here")
        archive.writestr(name, data)
    return file.getvalue()


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each on stderr."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder behind the addresses that strokes are fetched from: pen.zip, then digits.Z."""
    folder = tmp_path / "archive"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(pen_strokes, "SHA256", hashlib.sha256(TEXT).hexdigest())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        here = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(pen_strokes, "URLS", (f"{here}/pen.zip", f"{here}/digits.Z"))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "data"),
    [("pen.zip", zipped(MEMBER, compress(TEXT))), ("digits.Z", compress(TEXT))],
    ids=["out of the archive", "from where it lay before"],
)
def test_strokes_that_are_missing_are_fetched_and_kept(name: str, data: bytes, archive: Path, tmp_path: Path) -> None:
    (archive / name).write_bytes(data)

    fetched = load_strokes(tmp_path)
    (archive / name).unlink()
    kept = load_strokes(tmp_path)

    assert len(fetched) == len(kept) == 20
    assert gzip.decompress((tmp_path / "strokes" / FILE).read_bytes()) == TEXT
    assert [path.name for path in (tmp_path / "strokes").iterdir()] == [FILE]


@pytest.mark.usefixtures("archive")
def test_strokes_that_are_there_need_no_network(tmp_path: Path) -> None:
    (tmp_path / "strokes").mkdir()
    (tmp_path / "strokes" / FILE).write_bytes(gzip.compress(TEXT))

    assert len(load_strokes(tmp_path)) == 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped(MEMBER, compress(b"another text")), "is not the known file"),
        (zipped(MEMBER, compress(TEXT))[:-30], "Incorrect magic bytes"),
        (zipped(MEMBER, compress(TEXT)).replace(MEMBER.encode(), b"x" * len(MEMBER)), "no item named"),
        (compress(TEXT)[:4], "ended in the middle"),
        (b"<html>Moved</html>", "Incorrect magic bytes"),
        (bytes(download.LIMIT + 1), "more than 8,388,608 bytes"),
        (zipped(MEMBER, bytes(download.LIMIT + 1)), f"{MEMBER} has more than 8,388,608 bytes"),
    ],
    ids=["another text", "cut zip", "zip without it", "cut file", "page", "too large", "too large, zipped"],
)
def test_a_download_that_is_not_the_expected_file_is_not_kept(data: bytes, message: str, archive: Path, tmp_path: Path) -> None:
    (archive / "pen.zip").write_bytes(data)

    with pytest.raises(DataError, match=message):
        load_strokes(tmp_path)

    assert not list((tmp_path / "strokes").iterdir())


def test_without_a_network_the_message_names_the_missing_file_and_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pen_strokes, "URLS", (f"{NOBODY}/pen.zip", f"{NOBODY}/digits.Z"))

    with pytest.raises(DataError) as told:
        load_strokes(tmp_path)

    message = str(told.value)
    assert f"{FILE} is missing in {tmp_path / 'strokes'}" in message
    assert f"{NOBODY}/pen.zip: " in message
    assert f"{NOBODY}/digits.Z: " in message
    assert f"uncompress -c {MEMBER} | gzip > {tmp_path / 'strokes' / FILE}" in message


def test_the_data_step_reports_mnist_before_the_missing_strokes(
    full_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", NOBODY)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "MNIST").symlink_to(full_data_dir.absolute() / "MNIST")

    done = training("data", "--data-dir", tmp_path / "data", "--samples", tmp_path / "samples.png", status=1)

    assert "54,000 to train, 6,000 to validate, 10,000 to test" in done.stdout
    assert done.stderr.startswith(f"training: {FILE} is missing in {tmp_path / 'data' / 'strokes'}")
