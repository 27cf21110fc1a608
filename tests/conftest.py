"""Shared by the tests: the MNIST excerpt, the shipped model behind a client, and stub models built on the spot."""

import gzip
import logging
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import settings
from numpy.typing import NDArray

from app.reading.infer import preprocess
from app.reading.infer.record import ModelMetadata, ModelRecord
from app.reading.infer.store import READER, SERVED
from app.reading.reader import Reader
from app.runtime import shared_state
from app.runtime.loading import load_reader
from app.settings import Settings, available_cpus
from app.telemetry.log import LineHandler
from app.web.access import rate_limit
from app.web.application import create_app
from tests.versions import SHIPPED, onnx_file, point_to, seal

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything imports onnxruntime
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the test processes share the cores
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

EXCERPT = Path(__file__).parent / "mnist_excerpt.npz"

STUB_METADATA = ModelMetadata(
    labels=[str(digit) for digit in range(10)],
    mean=0.1307,
    std=0.3081,
    temperature=1.0,
    threshold=0.5,
    least_energy=0.0,
    input_layout="NCHW",
    preprocessing=preprocess.VERSION,
)

MakeStore = Callable[..., Path]


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are CPUs: many tests wait, for a server or a process, while they use none."""
    return available_cpus() + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the end how many tests were skipped, and for want of what."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.write_sep("-", f"{len(skipped)} skipped, because")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:4}  {reason}")


@pytest.fixture(autouse=True)
def _quiet_again() -> Iterator[None]:
    """Restores the logging configuration after each test of a command."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LineHandler)]:
        root.removeHandler(handler)
        root.setLevel(logging.WARNING)


@pytest.fixture
def patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait for the database that counts them, however busy the machine; else a late one is let through."""
    for module in (shared_state, rate_limit):
        monkeypatch.setattr(module, "LATE_SECONDS", 60)


@pytest.fixture(scope="session")
def excerpt() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The first 500 digits of MNIST's test set: images (500, 28, 28) and labels (500,)."""
    with np.load(EXCERPT) as file:
        return file["images"], file["labels"]


@pytest.fixture(scope="session")
def reader() -> Reader:
    """The shipped model with default settings."""
    return load_reader(Settings(model_version=SHIPPED))


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    """The service with the shipped model and default settings."""
    with TestClient(create_app(Settings(model_version=SHIPPED))) as client:
        yield client


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of 128 KiB, or as many as an indirect parameter says."""
    disk = tmp_path / "small"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', 128)}k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Makes a model store whose model, digits/1, finds digits as the shipped one does, and always gives the same logits.

    Further calls add versions; the first one is served.
    """

    from tests.stub_network import write_stub_network  # noqa: PLC0415  only these tests need onnx

    def make(
        metadata: ModelMetadata = STUB_METADATA,
        logits: tuple[float, ...] = (0, 0, 0, 9, 0, 0, 0, 0, 0, 0),
        golden: float = 0,
        version: str = "1",
        no_digit: float = 0,
    ) -> Path:
        """golden: what to add to the golden vectors' logits, to make them wrong."""
        store = tmp_path / "store"
        folder, finder = store / "digits" / version, onnx_file(store, version, "finder")
        for each in (folder, finder.parent):
            each.mkdir(parents=True)
        write_stub_network(folder / "model.onnx", metadata, np.array(logits, np.float32), no_digit)
        shutil.copyfile(onnx_file(Settings().model_store, SHIPPED, "finder"), finder)
        expected, none = np.tile(np.array(logits, np.float32), (2, 1)), np.full((2, 1), no_digit, np.float32)
        glyphs = np.zeros((2, 28, 28), np.uint8)
        np.savez(folder / "golden.npz", glyphs=glyphs, logits=expected + np.float32(golden), no_digit=none)
        record = ModelRecord(
            name="digits", version=version, reader=READER, created="2026-01-01T00:00:00+00:00", architecture="stub",
            parameters=0, seed=0, commit="none", config={}, data_sha256={}, metrics={"mnist_test_accuracy": 0.1},
            libraries={}, sha256={},
        )  # fmt: skip
        (folder / "model.json").write_text(record.model_dump_json())
        seal(folder)
        if not (store / "digits" / SERVED).exists():
            point_to(store, version)
        return store

    return make


def write_mnist(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Path:
    """Writes digits into a data directory in MNIST's format, twice, as training and as test set."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        header = np.array([2051, len(images), 28, 28], ">i4").tobytes()
        (raw / f"{split}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(np.array([2049, len(labels)], ">i4").tobytes() + labels.tobytes())
    return folder


@pytest.fixture
def mnist_dir(tmp_path: Path, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> Path:
    """A data directory in MNIST's format that holds the excerpt, to change."""
    return write_mnist(tmp_path / "data", *excerpt)


@pytest.fixture(scope="session")
def mnist_test_images(full_data_dir: Path) -> NDArray[np.uint8]:
    """MNIST's 10,000 test digits: (10000, 28, 28)."""
    path = full_data_dir / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    data = path.read_bytes() if path.is_file() else gzip.decompress(path.with_suffix(".gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)


@pytest.fixture(scope="session")
def full_data_dir() -> Path:
    """The directory of the whole MNIST; tests that need it skip where it is not."""
    folder = Path(os.environ.get("NUMERAL_DATA_DIR", Path(__file__).parents[1] / "data"))
    if not any((folder / "MNIST" / "raw").glob("t10k-images-idx3-ubyte*")):
        pytest.skip("the whole MNIST is not in data/; `python -m training data` fetches it")
    return folder
