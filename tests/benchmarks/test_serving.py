"""The serving benchmark: its client counts what is answered, its server is watched and ended. No figure here counts."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.serving.bench import (
    CONTENDERS,
    FLOOR,
    OURS,
    TIMED,
    Figures,
    Growth,
    Overload,
    Results,
    Round,
    drawing,
    measure,
    pictures,
    take_times,
)
from benchmarks.serving.client import Load, closed_loop, get, open_loop, open_loops, post, post_file
from benchmarks.serving.plots import draw_comparison, draw_growth, draw_overload
from benchmarks.serving.report import write_report
from benchmarks.serving.server import Server, serve, tree

FLOORS = [sys.executable, "-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "benchmarks.serving.contenders.floors:multipart"]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serve(FLOORS, post_file("/predict", b"digit"), {0}, {}, log) as server:
        yield server


def test_a_closed_loop_counts_its_answers(server: Server) -> None:
    load = closed_loop(server.port, post_file("/predict", b"digit"), 3, 0.3)

    assert set(load.statuses) == {200}
    assert load.rate() == pytest.approx(load.statuses[200] / load.seconds)
    assert 0 < load.percentile(50) <= load.percentile(99)


def test_an_open_loop_sends_at_its_rate_and_tells_refusals_apart(server: Server) -> None:
    load = open_loop(server.port, post("/nope", b"", "image/png"), 50, 0.5)

    assert load.statuses == {404: 25}
    assert load.rate(404) == pytest.approx(50, rel=0.3)
    assert load.rate() == 0


def test_several_open_loops_run_at_the_same_time(server: Server) -> None:
    loads = open_loops(server.port, {post("/nope", b"", "image/png"): 40, get("/health/live"): 20}, 0.5)

    assert [load.statuses for load in loads] == [{404: 20}, {200: 10}]


def test_refusals_are_timed_by_the_server(tmp_path: Path) -> None:
    request, command = post("/predict", drawing(), "image/png"), [sys.executable, *CONTENDERS[TIMED].command]
    with serve(command, request, {0}, {"NUMERAL_MAX_WAITING": "1"}, tmp_path / "log") as server:
        refused = closed_loop(server.port, request, 8, 0.5).statuses[503]
        times = take_times(server)

        assert len(times) == refused > 0
        assert all(0 < seconds < 5 for seconds in times)
        assert take_times(server) == []


def test_a_server_is_watched_with_all_its_processes(server: Server) -> None:
    figures = measure(server, get("/openapi.json"), 2, 0.2)

    assert server.pid in tree(server.pid)
    assert server.cpu > 0
    assert 1e6 < server.memory <= server.peak_memory
    assert server.threads >= 1
    assert server.files >= 3
    assert (figures.failed, figures.cpu > 0) == (0, True)


def test_a_server_that_does_not_come_up_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="does not answer"),
        serve([sys.executable, "-c", ""], b"", {0}, {}, tmp_path / "log"),
    ):
        pass


def test_every_request_of_the_table_is_a_post() -> None:
    assert all(request.startswith(b"POST /predict") for request, _ in pictures().values())


def test_the_report_and_its_pictures_tell_what_was_measured(tmp_path: Path) -> None:
    figures = [Figures(cpu, 300, 3, 5, 9, 0.1, 0) for cpu in (0.5, 3.0)]
    compared = {name: [Round(1.0, 2**27, {1: each, 64: each})] for name, each in zip((FLOOR, OURS), figures, strict=True)}
    load = Overload(3, 280, 400, 600, 9.5, 0.7, 0, 4, 2)
    growth = Growth("A batch", "pictures", {1: figures, 4: figures}, {1: 1, 4: 4})
    results = Results([1, 64], compared, {"a picture": figures}, 300, [load], [growth], {"one CPU": figures}, [])

    report = write_report(results)
    draw_comparison(results, tmp_path / "comparison.png")
    draw_overload(results, tmp_path / "overload.png")
    draw_growth(results, tmp_path / "growth.png")

    assert "| numeral | 3.00 (3.00–3.00) | 6.0 | 1.00 | 300 |" in report
    assert "| 3 × | 280 | 93% | 400 | 600 | 9.5 | 0.7 | 0 | 4.0 | 2.0 |" in report
    assert "| A batch: pictures | 1 | 4 |\n|---|---|---|\n| CPU (ms) | 1.75 | 0.44 |" in report
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    assert (tmp_path / "overload.png").stat().st_size > 10_000
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_a_load_without_answers_has_no_percentile() -> None:
    assert Load(seconds=1).percentile(99) != Load(seconds=1).percentile(99)
