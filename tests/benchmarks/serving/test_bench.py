"""The serving benchmark: its client counts answers, its server is watched and ended. The figures here do not count."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
from rich.console import Console

from benchmarks.serving.bench import (
    BATCH,
    CONTENDERS,
    FLOOR,
    IN_TURN,
    OURS,
    PLAIN,
    SINGLE,
    TIMED,
    Bench,
    Figures,
    Growth,
    Overload,
    Results,
    Round,
    drawing,
    measure,
    middle,
    pictures,
    soak,
    take_times,
)
from benchmarks.serving.client import Load, closed_loop, get, open_loops, post, post_file
from benchmarks.serving.plots import draw_comparison, draw_growth, draw_overload
from benchmarks.serving.report import write_report
from benchmarks.serving.server import Server, serve, tree
from benchmarks.serving.targets import targets

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
    (load,) = open_loops(server.port, {post("/nope", b"", "image/png"): 50}, 0.5)

    assert load.statuses == {404: 25}
    assert load.rate(404) == pytest.approx(50, rel=0.3)
    assert load.rate() == 0


def test_several_open_loops_run_at_the_same_time(server: Server) -> None:
    loads = open_loops(server.port, {post("/nope", b"", "image/png"): 40, get("/health/live"): 20}, 0.5)

    assert [load.statuses for load in loads] == [{404: 20}, {200: 10}]


def test_a_queue_that_is_emptied_after_the_last_request_is_not_a_rate() -> None:
    """The server answers ten requests at once, and the others when the last one is there."""
    port, last, asked, connected = Queue[int](), 50, 0, 0

    async def serve_slowly() -> None:
        all_there, over = asyncio.Event(), asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked, connected
            connected += 1
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await reader.readuntil(b"\r\n\r\n"):
                    asked += 1
                    if asked == last:
                        all_there.set()
                    if asked > 10:
                        await all_there.wait()
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            connected -= 1
            if not connected:
                over.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        async with server:
            await over.wait()

    thread = Thread(target=lambda: asyncio.run(serve_slowly()))
    thread.start()
    (load,) = open_loops(port.get(), {get("/"): 100}, last / 100)
    thread.join()

    assert load.statuses == {200: last}
    assert load.late[200] >= 40
    assert load.rate() == pytest.approx((last - load.late[200]) / load.seconds)


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


def test_a_server_that_does_not_start_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="does not answer"),
        serve([sys.executable, "-c", ""], b"", {0}, {}, tmp_path / "log"),
    ):
        pass


@pytest.mark.long  # draws a photo of 12 megapixels, which takes 5 s
def test_every_request_of_the_table_is_a_post() -> None:
    assert all(request.startswith((b"POST /predict", b"POST /read")) for request, _ in pictures().values())


def test_the_report_and_its_pictures_show_the_measurements(tmp_path: Path) -> None:
    figures = [Figures(cpu, 300, 3, 5, 9, 0.1, 0) for cpu in (0.5, 3.0)]
    compared = {name: [Round(1.0, 2**27, {1: each, 64: each})] for name, each in zip((FLOOR, OURS), figures, strict=True)}
    load = Overload(3, 280, 400, 600, 9.5, 0.7, 0.2, 0, 4, 2)
    growth = Growth("A batch", "pictures", {1: figures, 4: figures}, {1: 1, 4: 4})
    results = Results([1, 64], compared, {"a picture": figures}, 300, [load], [growth], {"one CPU": figures}, [])

    report = write_report(results)
    draw_comparison(results, tmp_path / "comparison.png")
    draw_overload(results, tmp_path / "overload.png")
    draw_growth(results, tmp_path / "growth.png")

    assert "| numeral | 3.00 (3.00–3.00) | 6.0 | 1.00 | 300 |" in report
    assert "| 3 × | 280 | 93% | 400 | 600 | 9.5 | 0.7 | 0.20 | 0 | 4.0 | 2.0 |" in report
    assert "| canvas at 64 connections, CPU in ms | at most 3.4 | 3.00 | kept |" in report
    assert "| A batch: pictures | 1 | 4 |\n|---|---|---|\n| CPU (ms) | 1.75 | 0.44 |" in report
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    assert (tmp_path / "overload.png").stat().st_size > 10_000
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_targets_are_kept_or_missed() -> None:
    def figures(cpu: float, rate: float = 300, p99: float = 9) -> Figures:
        return Figures(cpu, rate, 3, 5, p99, 0.1, 0)

    def rounds(cpu: float, p99: float) -> list[Round]:
        return [Round(1.0, 150 * 10**6, {1: figures(2), 64: figures(cpu, p99=p99)})]

    results = Results(
        connections=[1, 64],
        compared={FLOOR: rounds(0.5, 1), OURS: rounds(3.5, 9), PLAIN: rounds(4, 8), "LitServe": rounds(7, 10)},
        sent={SINGLE: [figures(1.5)], IN_TURN: [figures(2)], BATCH: [figures(32)]},
        best=300,
        overloaded=[Overload(times, good, 400, 600, 9.5, 0.7, 0.2, 0, 4, 1) for times, good in ((1, 290), (3, 265))],
        grown=[],
        scaled={"one": [figures(2)], "all": [figures(3)], "two": [figures(2.1, 400)]},
        soaked=[{"minute": minute, "memory": 140 + minute, "threads": 6, "files": 13 + minute} for minute in (1, 2, 3)],
    )

    found = {target.name: target for target in targets(results)}

    assert {name for name, target in found.items() if not target.kept} == {
        "canvas at 64 connections, CPU in ms",
        "the same, over FastAPI that does nothing",
        "the same, p99 over the best peer's",
        "the same, over 16 connections, whose requests are read together too",
        "the same, over the best closed loop's",
        "3 × the capacity: health, p99 over that of doing nothing",
        "two processes on two CPUs over one, answers a second",
        "soak: files more than after the first minute",
    }
    assert found["the same, over LitServe"].measured == pytest.approx(0.5)
    assert found["batch of 32 over 32 single ones, one after the other"].measured == pytest.approx(0.5)
    assert found["soak: MiB more than after the first minute"].measured == pytest.approx(2)


def test_overload_is_reported_as_the_medians_of_its_rounds() -> None:
    none = float("nan")
    rounds = [
        Overload(3, good, 400, 600, refused, none, none, 1, health, 2)
        for good, refused, health in ((9, none, 90), (7, 4, 5), (8, 6, 6))
    ]

    of_rounds = middle(rounds)

    assert (of_rounds.times, of_rounds.good, of_rounds.refused, of_rounds.health, of_rounds.broken) == (3, 8, 5, 6, 3)
    assert of_rounds.refusing != of_rounds.refusing


def test_a_soak_watches_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = (post_file("/predict", drawing()), 2)
    monkeypatch.setattr("benchmarks.serving.bench.pictures", lambda: {"canvas": canvas})  # photos take seconds to make
    cpus = os.sched_getaffinity(0)
    try:
        lines = soak(Bench(tmp_path, None, Console(quiet=True)), 2, minute=1)
    finally:
        os.sched_setaffinity(0, cpus)

    assert [line["minute"] for line in lines] == [1, 2]
    assert all(50 < line["memory"] < 400 and line["threads"] > 1 and line["files"] > 5 for line in lines)


def test_a_load_without_answers_has_no_percentile() -> None:
    assert Load(seconds=1).percentile(99) != Load(seconds=1).percentile(99)
