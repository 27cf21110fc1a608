"""A small, fixed part of ``make fuzz``: the nasty pictures, and a few hundred damaged ones."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from app.settings import Settings
from tests.fuzz.__main__ import MEGABYTES, Tally, run_chunk
from tests.fuzz.mutate import case
from tests.fuzz.nasty import CHEAP, EXPENSIVE, HURTFUL
from tests.fuzz.worker import outcome

OUTCOMES = {
    "decoding-out-of-memory",
    "digit",
    "no-digit-found",
    "unreadable-image",
    "unsupported-image",
    "image-too-large",
    "upload-too-large",
}
FIRST = len(CHEAP) + len(EXPENSIVE) + len(HURTFUL)  # damaged case


BOMBS = tuple(pytest.param(name, marks=pytest.mark.long) for name in CHEAP if "bomb" in name)  # a second or more each
OTHERS = tuple(name for name in CHEAP if "bomb" not in name)


@pytest.mark.parametrize("name", [*OTHERS, *BOMBS])
def test_a_nasty_picture_gets_an_answer_or_a_problem(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        assert outcome(CHEAP[name](), Settings()) in OUTCOMES


def test_damaged_pictures_get_an_answer_or_a_problem() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = {outcome(case(number), Settings()) for number in range(FIRST, FIRST + 300)}

    assert ends <= OUTCOMES
    assert "digit" in ends


def test_a_case_number_always_gives_the_same_case() -> None:
    program = f"from tests.fuzz.mutate import case; import sys; sys.stdout.buffer.write(case({FIRST + 7}))"
    elsewhere = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout

    assert elsewhere == case(FIRST + 7)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="a case's memory is measured by Linux's /proc")
@pytest.mark.parametrize("name", ["png bomb rgba", "webp at the limit", "avif bomb", "jpeg small with many scans"])
def test_a_picture_at_the_limit_stays_below_300_megabytes_behind_the_wall(name: str) -> None:
    number = [*CHEAP, *EXPENSIVE].index(name)
    tally = Tally(done=number)

    run_chunk(tally, number + 1)

    assert (tally.done, tally.failures) == (number + 1, [])
    assert tally.most_megabytes[0] < MEGABYTES


def test_faults_crashes_and_expensive_cases_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()

    for line in (
        "0\tdigit\t0.1\t0.1\t9.0",
        "1\tFAULT ValueError: x\t0.1\t0.1\t9.0",
        "2\tdigit\t0.1\t6.1\t9.0",
        "3\tdigit\t0.1\t0.1\t301.0",
        "4\tdecoder-crashed\t0.1\t0.1\t9.0",
    ):
        tally.add(line)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    run_chunk(tally, 9)

    assert tally.done == 6
    assert tally.crashes == [4]
    assert [failure.partition(":")[0] for failure in tally.failures] == [f"case {number}" for number in (1, 2, 3, 5)]
