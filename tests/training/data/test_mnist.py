"""MNIST: found, checked, always split in the same way, and a clear message if it is missing."""

import gzip
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.mnist import check_files, load_digits, stratified_split
from training.data.torchvision_compat import MNIST
from training.errors import DataError


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets any attempt to download fail, as without a network."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Error downloading")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", refuse)


def test_the_split_is_54000_to_6000_stratified_and_the_test_set_apart(full_data_dir: Path) -> None:
    digits = load_digits(full_data_dir)

    assert (len(digits.train), len(digits.validation), len(digits.test)) == (54_000, 6_000, 10_000)
    shares = [split.labels.bincount() / len(split) for split in (digits.train, digits.validation)]
    torch.testing.assert_close(shares[0], shares[1], atol=2e-4, rtol=0)


@given(st.lists(st.integers(0, 9), min_size=20, max_size=300), st.integers(0, 5))
def test_a_stratified_split_loses_and_repeats_nothing(labels: list[int], seed: int) -> None:
    size = len(labels) // 5

    train, validation = stratified_split(torch.tensor(labels), size, seed)

    assert len(validation) == size
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(len(labels)))
    counts, chosen = (
        torch.bincount(torch.tensor(values), minlength=10) for values in (labels, torch.tensor(labels)[validation].tolist())
    )
    assert ((counts * size / len(labels) - chosen).abs() < 1).all()


def test_the_seed_alone_decides_the_split() -> None:
    labels = torch.arange(1000) % 10

    first, again, other = (stratified_split(labels, 100, seed)[1].tolist() for seed in (0, 0, 1))

    assert first == again
    assert first != other


@pytest.mark.usefixtures("offline")
def test_missing_files_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)missing train-images-idx3-ubyte, .*python -m training data.*ubyte\.gz"):
        load_digits(tmp_path)


@pytest.mark.usefixtures("offline")
def test_files_that_are_there_need_no_network(mnist_dir: Path) -> None:
    digits = load_digits(mnist_dir, verify=False, validation_size=100)

    assert (len(digits.train), len(digits.validation), len(digits.test)) == (400, 100, 500)


def test_official_archives_are_unpacked_where_they_lie(full_data_dir: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in (full_data_dir / "MNIST" / "raw").glob("*.gz"):
        shutil.copy(archive, raw)
    if len(list(raw.iterdir())) < 4:
        pytest.skip("the archives are not kept next to the unpacked files")

    assert len(load_digits(tmp_path).test) == 10_000


@pytest.mark.long
def test_several_processes_may_unpack_at_the_same_time(full_data_dir: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in (full_data_dir / "MNIST" / "raw").glob("t*.gz"):
        shutil.copy(archive, raw)
    if len(list(raw.iterdir())) < 4:
        pytest.skip("the archives are not kept next to the unpacked files")
    program = f"from pathlib import Path; from training.data.mnist import load_digits; load_digits(Path({str(tmp_path)!r}))"

    with subprocess.Popen([sys.executable, "-c", program]) as other:
        while not any(path.suffix != ".gz" for path in raw.iterdir()):  # it has not begun yet
            assert other.poll() is None
            time.sleep(0.01)
        digits = load_digits(tmp_path)

        assert other.wait(timeout=120) == 0
    assert len(digits.test) == 10_000


def test_other_digits_are_not_taken_for_mnist(mnist_dir: Path) -> None:
    with pytest.raises(DataError, match="is not the official MNIST file"):
        check_files(mnist_dir)
    with pytest.raises(DataError, match="is not the official MNIST file"):
        load_digits(mnist_dir, validation_size=100)


def test_a_truncated_file_is_reported(mnist_dir: Path) -> None:
    path = mnist_dir / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(DataError, match="is damaged"):
        load_digits(mnist_dir, verify=False)


def test_a_damaged_archive_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"x")[:-4])
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])  # the discard port: nobody listens

    with pytest.raises(DataError, match="It could not be fetched either"):
        load_digits(tmp_path)
