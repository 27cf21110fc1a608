"""Runs cases one after another behind the wall, and tells of each what came of it and what it cost.

A line a case on stdout: number, outcome, CPU seconds of the process that asks, seconds, megabytes by which the one that
decodes grew at its peak.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from app.errors import RequestError
from app.reading.decode import opencv
from app.reading.decode.picture import Picture, decode
from app.reading.find.finder import Finder
from app.reading.find.steps import MOST, find_digits
from app.runtime.loading import load_model
from app.settings import Settings
from tests.fuzz.mutate import case

RESET_PEAK = "5"  # proc(5): the peak becomes what is held now

Decode = Callable[[bytes], Picture]


def outcome(data: bytes, settings: Settings, decoder: Decode | None = None) -> str:
    """What reading a picture ends in: digit, a problem's code, or the fault's name in capitals; without a decoder, here."""
    try:
        find_digits(shipped_finder(), (decoder or partial(decode, limits=settings))(data), MOST)
    except RequestError as error:
        return error.code
    except Exception as error:  # noqa: BLE001  this is what is looked for
        return f"FAULT {type(error).__name__}: {error}"
    return "digit"


@cache
def shipped_finder() -> Finder:
    """The finder of the version that is served."""
    return load_model(Settings()).finder


def megabytes(process: int, key: str) -> float:
    """A figure of a process's memory: VmRSS now, VmHWM at its peak; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(key)), 0)


def main(first: int, last: int) -> None:
    """Runs the cases from the first to before the last."""
    from app.runtime.decoder_processes import DecoderProcesses  # noqa: PLC0415  Linux's alone
    from app.runtime.decoder_protocol import Costs  # noqa: PLC0415  as above

    warnings.simplefilter("ignore")  # a damaged file is full of what Pillow warns of
    opencv.tune()
    settings = Settings()
    wall = DecoderProcesses(settings, Costs(settings.decoder_bytes, settings.decoder_seconds), 1)
    wall.start()
    shipped_finder()
    for number in range(first, last):
        data, (process,) = case(number), wall.ids
        Path(f"/proc/{process}/clear_refs").write_text(RESET_PEAK, encoding="ascii")
        before, cpu, began = megabytes(process, "VmRSS"), time.process_time(), time.perf_counter()
        result = outcome(data, settings, wall.decode)
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
        grown = max(0.0, megabytes(process, "VmHWM") - before)
        print(f"{number}\t{' '.join(result.split())}\t{cpu:.3f}\t{seconds:.3f}\t{grown:.1f}", flush=True)  # noqa: T201
    wall.close()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(int(sys.argv[1]), int(sys.argv[2]))
