"""What is read from nvidia-smi, and the figures of a host with a GPU."""

import time
from pathlib import Path

import pytest

from benchmarks.serving.bench import Figures
from benchmarks.serving.gpu_host import Turn, read_samples, watch_gpu, write_table


def turn(rate: float, gpu: tuple[float, ...] = ()) -> Turn:
    return Turn(Figures(cpu=2.0, rate=rate, p50=10, p95=20, p99=30, client=0.5, failed=0), gpu)


@pytest.mark.parametrize(("output", "samples"), [("", []), ("3\n45\n", [3, 45]), ("3\n45\n6", [3, 45]), ("[N/A]\n 7\n", [7])])
def test_whole_lines_of_numbers_are_samples(output: str, samples: list[float]) -> None:
    assert read_samples(output) == samples


def test_the_gpu_is_watched_as_long_as_the_load_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool, said = tmp_path / "nvidia-smi", tmp_path / "said"
    tool.write_text(f"#!/bin/sh\necho 40\necho 60\n: > {said}\nexec sleep 60\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with watch_gpu() as gpu:
        while not said.exists():
            time.sleep(0.01)

    assert gpu.used == [40, 60]


def test_without_a_gpu_nothing_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with watch_gpu() as gpu:
        pass

    assert gpu.used == []


def test_a_row_has_medians_over_the_turns_and_what_was_busy() -> None:
    table = write_table({("JPEG", "cuda, 1"): [turn(1000, (10, 20)), turn(3000, (30,))], ("JPEG", "cpu, 1"): [turn(500)]})

    assert table.splitlines()[2:] == [
        "| JPEG | cuda, 1 | 2,000 | 2.00 | 10 | 30 | 4.0 | 0.50 | 20 | 0.0 |",
        "| JPEG | cpu, 1 | 500 | 2.00 | 10 | 30 | 1.0 | 0.50 | – | 0.0 |",
    ]
