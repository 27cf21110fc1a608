"""The arithmetic of docs/scale.md."""

import re

import pytest

from benchmarks.scaling.scale import CPU, DOCS, GPU, INFERENCE_MS, RATES, WORKLOADS, Plan, Workload, fill, plan


def test_the_tables_in_the_docs_are_what_the_script_computes() -> None:
    text = (DOCS / "scale.md").read_text(encoding="utf-8")

    assert fill(text) == text


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_a_request_costs_about_what_was_measured_last(workload: object) -> None:
    measured = dict(
        re.findall(r"^\| (.+?) \| ([\d.]+) \(", (DOCS / "performance.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    known = {re.sub(r", (raw|multipart)", "", name): float(cpu) for name, cpu in reversed(measured.items())}

    assert known[workload.name] / 2 < workload.cpu_ms < 2 * known[workload.name]  # type: ignore[attr-defined]


@pytest.mark.parametrize("machine", [CPU, GPU], ids=lambda machine: machine.name)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_more_requests_never_take_less(workload: object, machine: object) -> None:
    plans: list[Plan] = [plan(workload, machine, rate) for rate in RATES]  # type: ignore[arg-type]

    assert [each.machines for each in plans] == sorted(each.machines for each in plans)
    assert all(each.machines >= 2 for each in plans)
    assert all(0 <= each.gpu < 1 for each in plans)


def test_machines_by_hand() -> None:
    canvas = next(workload for workload in WORKLOADS if workload.name == "280×280 canvas")

    made = plan(canvas, CPU, 1000)

    assert made.by_cpu == 1  # 0.90 CPUs of 8 · 0.6
    assert made.by_network == 1
    assert made.machine_dollars == pytest.approx(2 * 0.3264 * 730)


def test_each_digit_of_a_row_is_a_glyph_to_the_classifier() -> None:
    one, row = (Workload("a row", 15, 36_000, glyphs=glyphs) for glyphs in (1, 8))
    busy = [plan(each, GPU, 1000) for each in (one, row)]

    assert row.inference_ms == 8 * INFERENCE_MS
    assert busy[1].gpu * busy[1].machines == pytest.approx(8 * busy[0].gpu * busy[0].machines)
    assert next(each for each in WORKLOADS if each.name.startswith("/read")).glyphs == 8
