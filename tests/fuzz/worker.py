"""Runs cases one after another in a process of its own, and reports the result and cost of each.

Writes one line per case to stdout: number, outcome, CPU seconds, seconds, and megabytes above the previous use.
"""

import os
import sys
import time
import warnings
from pathlib import Path

from app.errors import RequestError
from app.reading.decode import opencv
from app.reading.decode.picture import decode
from app.reading.find.glyph import take_steps
from app.settings import Settings
from tests.fuzz.mutate import case

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): the peak becomes what is held now


def outcome(data: bytes, settings: Settings) -> str:
    """What reading a picture ends in: digit, a problem's code, or the fault's name in capitals."""
    try:
        take_steps(decode(data, settings))
    except RequestError as error:
        return error.code
    except Exception as error:  # noqa: BLE001  this is what is looked for
        return f"FAULT {type(error).__name__}: {error}"
    return "digit"


def megabytes(key: str) -> float:
    """A figure of the process's memory: VmRSS now, VmHWM at its peak."""
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024 / 1e6


def measure(data: bytes, settings: Settings) -> tuple[str, float, float, float]:
    """Outcome, CPU seconds, seconds, and megabytes of growth at the peak."""
    CLEAR.write_text(RESET_PEAK, encoding="ascii")
    before, cpu, wall = megabytes("VmRSS"), time.process_time(), time.perf_counter()
    result = outcome(data, settings)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return result, cpu, wall, megabytes("VmHWM") - before


def main(first: int, last: int) -> None:
    """Runs the cases from the first to before the last."""
    warnings.simplefilter("ignore")  # a damaged file is full of what Pillow warns of
    opencv.tune()
    settings = Settings()
    for number in range(first, last):
        result, cpu, wall, grown = measure(case(number), settings)
        print(f"{number}\t{' '.join(result.split())}\t{cpu:.3f}\t{wall:.3f}\t{grown:.1f}", flush=True)  # noqa: T201


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(int(sys.argv[1]), int(sys.argv[2]))
