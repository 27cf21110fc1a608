"""Bulk runs on a small scale: answers, errors as rows, and continuing after a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from app.bulk import processes
from app.bulk.parquet_rows import Piece
from app.bulk.run import Engine, Task, open_run
from app.cli.app import cli
from app.errors import BulkError
from app.reading.reader import Reader
from app.settings import MIB, Settings
from benchmarks.pictures import WHITE, canvas, encode, photo, row
from tests.conftest import MakeStore
from tests.fuzz.nasty import bmp, png
from tests.versions import SHIPPED

SETTINGS = Settings(model_version=SHIPPED)
run = CliRunner().invoke


@pytest.fixture
def here(reader: Reader) -> Engine:
    """Answers in the process of the test."""

    def answer(task: Task, pieces: Sequence[Piece], tick: Callable[[], None]) -> None:
        for piece in pieces:
            task.answer(reader, piece)
            tick()

    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "seven.jpg": encode(photo(7), "JPEG"),
        "deep/three.png": encode(canvas(3)),
        "blank.png": encode(Image.new("RGB", (60, 40), WHITE)),
        "notes.txt": b"seven",
        "empty.png": b"",
        "cut.jpg": encode(photo(7), "JPEG")[:3000],
    }
    for name, data in files.items():
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "pictures"


def answer(
    source: Path | str, output: Path, engine: Engine, *, restart: bool = False, settings: Settings = SETTINGS
) -> pa.Table:
    with open_run(str(source), output, settings, restart=restart) as opened:
        engine(opened.task, opened.remaining(), lambda: None)
        opened.finish()
    return pq.read_table(output)


def test_every_picture_of_a_folder_becomes_a_row_with_an_answer_or_a_reason(folder: Path, tmp_path: Path, here: Engine) -> None:
    table = answer(folder, tmp_path / "out.parquet", here)

    rows = {Path(row["path"]).name: row for row in table.to_pylist()}
    assert sorted(row["id"] for row in rows.values()) == list(range(6))
    assert {name: row["code"] or row["digit"] for name, row in rows.items()} == {
        "seven.jpg": 7,
        "three.png": 3,
        "blank.png": "no-digit-found",
        "notes.txt": "unsupported-image",
        "empty.png": "unsupported-image",
        "cut.jpg": "unreadable-image",
    }
    assert "blank" in rows["blank.png"]["detail"]
    assert rows["blank.png"]["box"] is None


def test_a_bulk_run_gives_the_answers_of_the_service(folder: Path, tmp_path: Path, here: Engine, reader: Reader) -> None:
    (row,) = answer(folder / "seven.jpg", tmp_path / "out.parquet", here).to_pylist()

    expected = reader.read((folder / "seven.jpg").read_bytes()).model_dump()
    assert {name: row[name] for name in ("digit", "accepted", "box")} == {n: expected[n] for n in ("digit", "accepted", "box")}
    assert row["probabilities"] == pytest.approx(expected["probabilities"], abs=2e-6)  # kernels round by the batch's size
    assert row["warnings"] == []


@pytest.mark.parametrize(
    ("source", "told"), [("seven.jpg", "1 picture, 0 without an answer, "), ("", "6 pictures, 4 without an answer, ")]
)
def test_the_last_line_counts_pictures_and_names_the_output_as_it_is(
    source: str, told: str, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "[b]:star:.parquet"

    result = run(cli, ["predict", "--input", str(folder / source), "--output", str(output), "--workers", "1"])

    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1].startswith(told)
    assert result.stderr.endswith(f"a second: {output}\n")


def test_the_output_names_the_model_and_no_other_file_is_left(folder: Path, tmp_path: Path, here: Engine) -> None:
    table = answer(folder, tmp_path / "out.parquet", here)

    assert table.schema.metadata[b"model"] == f"digits/{SHIPPED}".encode()
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "out.parquet"}


def test_parquet_with_bytes_or_paths_keeps_its_ids(folder: Path, tmp_path: Path, here: Engine) -> None:
    source = folder / "source.parquet"
    columns = {
        "id": ["seven", "three", "gone", "void", "nul"],
        "image": pa.array([(folder / "seven.jpg").read_bytes(), None, None, None, None]),
        "path": ["ignored", "deep/three.png", "gone.png", None, "a\0b"],
        "other": [1, 2, 3, 4, 5],
    }
    pq.write_table(pa.table(columns), source)

    table = answer(source, tmp_path / "out.parquet", here)

    codes = {row["id"]: row["code"] or row["digit"] for row in table.to_pylist()}
    assert codes == {"seven": 7, "three": 3, "gone": "unreadable-file", "void": "invalid-request", "nul": "invalid-request"}
    assert table["path"].to_pylist() == columns["path"]


def test_several_parquet_files_are_one_input(folder: Path, tmp_path: Path, here: Engine) -> None:
    for number, name in enumerate(["seven.jpg", "deep/three.png"]):
        pq.write_table(pa.table({"path": [name]}), folder / f"{number}.parquet")

    table = answer(f"{folder}/*.parquet", tmp_path / "out.parquet", here)

    assert list(zip(table["id"].to_pylist(), table["digit"].to_pylist(), strict=True)) == [(0, 7), (1, 3)]


def test_a_file_that_is_too_large_or_a_pipe_is_not_read(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    pq.write_table(pa.table({"path": ["seven.jpg", "pipe"]}), folder / "source.parquet")
    settings = Settings(model_version=SHIPPED, max_upload_bytes=100)
    reader_of = Task(settings, str(folder), str(tmp_path)).load()

    def engine(task: Task, pieces: Sequence[Piece], _: Callable[[], None]) -> None:
        for piece in pieces:
            task.answer(reader_of, piece)

    table = answer(folder / "source.parquet", tmp_path / "out.parquet", engine, settings=settings)

    assert table["code"].to_pylist() == ["upload-too-large", "unreadable-file"]


def test_a_link_to_itself_is_a_row_and_the_run_goes_on(folder: Path, tmp_path: Path, here: Engine) -> None:
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "deep" / "up").symlink_to("..")

    table = answer(folder, tmp_path / "answers.parquet", here)

    rows = {Path(row["path"]).name: row for row in table.to_pylist()}
    assert rows["seven.jpg"]["digit"] == 7
    assert rows["loop.png"]["code"] == "unreadable-file"
    assert len(rows) == 7


@pytest.mark.parametrize("free", [0, 12_000], ids=["at the start", "when answers are written"])
def test_a_full_disk_is_named_in_the_last_line(folder: Path, small_disk: Path, free: int) -> None:
    for number in range(100):
        (folder / f"{number}.png").write_bytes(encode(canvas(number % 10)))
    (small_disk / "ballast").write_bytes(bytes(128 * 1024 - free // 4096 * 4096))
    output = small_disk / "answers.parquet"

    ended = subprocess.run(
        [sys.executable, "-m", "app", "predict", "--input", str(folder), "--output", str(output), "--workers", "1"],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert ended.returncode == 2
    last = ended.stderr.rstrip().splitlines()[-1]
    assert "full" in last
    assert str(small_disk) in last
    assert "Traceback" not in ended.stderr
    (small_disk / "ballast").unlink()
    again = subprocess.run(
        [sys.executable, "-m", "app", "predict", "--input", str(folder), "--output", str(output), "--workers", "1"],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert again.returncode == 0
    assert pq.read_metadata(output).num_rows == 106


def test_file_names_need_not_be_utf_8(folder: Path, tmp_path: Path, here: Engine) -> None:
    (folder / "seven.jpg").rename(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg"))

    table = answer(f"{folder}/*.jpg", tmp_path / "out.parquet", here)

    row = next(row for row in table.to_pylist() if row["path"].endswith("\\udcff.jpg"))
    assert row["digit"] == 7


class _Interrupted(Exception):
    pass


def _interrupt_after(pieces_done: int, engine: Engine) -> Engine:
    def answer(task: Task, pieces: Sequence[Piece], tick: Callable[[], None]) -> None:
        engine(task, pieces[:pieces_done], tick)
        raise _Interrupted

    return answer


@pytest.fixture
def begun(folder: Path, tmp_path: Path, here: Engine) -> Path:
    """A source of two row groups, of which an interrupted run has answered the first."""
    pq.write_table(pa.table({"path": ["seven.jpg", "deep/three.png"]}), folder / "source.parquet", row_group_size=1)
    with pytest.raises(_Interrupted):
        answer(folder / "source.parquet", tmp_path / "out.parquet", _interrupt_after(1, here))
    return folder / "source.parquet"


def test_an_interrupted_run_continues_with_the_remaining_rows(begun: Path, tmp_path: Path, here: Engine) -> None:
    with open_run(str(begun), tmp_path / "out.parquet", SETTINGS) as opened:
        remaining = opened.remaining()
    table = answer(begun, tmp_path / "out.parquet", here)

    assert [(piece.first, piece.rows) for piece in remaining] == [(1, 1)]
    assert table["digit"].to_pylist() == [7, 3]


def test_an_interrupted_run_does_not_continue_with_another_input_or_model(
    begun: Path, tmp_path: Path, here: Engine, make_store: MakeStore
) -> None:
    output = tmp_path / "out.parquet"
    for source, settings, message in (
        (begun.parent, SETTINGS, "a different input"),
        (begun, Settings(model_store=make_store()), "a different model"),
    ):
        with pytest.raises(BulkError, match=message):
            answer(source, output, here, settings=settings)
    os.utime(begun, (0, 0))
    with pytest.raises(BulkError, match="different files"):
        answer(begun, output, here)

    assert len(answer(begun, output, here, restart=True)) == 2


def test_an_unfinished_list_of_files_is_written_again_after_a_kill(folder: Path, tmp_path: Path, here: Engine) -> None:
    work = tmp_path / ".out.parquet.parts"
    work.mkdir()
    (work / "listing.parquet").write_bytes(b"PAR1")

    assert len(answer(folder, tmp_path / "out.parquet", here)) == 6


def test_two_runs_never_write_the_same_output(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    with open_run(str(folder), output, SETTINGS), pytest.raises(BulkError, match="by another run"):
        answer(folder, output, lambda *_: None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "{}/none", "--output", "{}/out.parquet"], "contains no pictures"),
        (["--input", "{}/none.parquet", "--output", "{}/out.parquet"], "does not exist"),
        (["--input", "{}/pictures", "--output", "{}/there.parquet"], "already exists"),
        (["--input", "{}/pictures", "--output", "{}/pictures/seven.jpg/out.parquet"], "Not a directory"),
        (["--input", "{}/pictures"], "--input with --output"),
        (["--output", "{}/out.parquet", "seven.jpg"], "--output needs --input"),
        (["--restart", "seven.jpg"], "--restart needs --input"),
        ([], "--input with --output"),
    ],
    ids=["empty", "no file", "output there", "no folder", "no output", "no input", "restart", "nothing"],
)
@pytest.mark.usefixtures("folder")
def test_wrong_flags_end_with_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "there.parquet").touch()

    result = run(cli, ["predict", *(argument.format(tmp_path) for argument in arguments)])

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*.parts")), "nothing is left behind"


def test_a_process_that_cannot_load_the_model_ends_the_run(folder: Path, tmp_path: Path, make_store: MakeStore) -> None:
    store = make_store()
    (store / "digits" / "1" / "model.onnx").write_bytes(b"")

    done = _bulk(folder, tmp_path / "out.parquet", store)
    _, log = done.communicate(timeout=60)

    assert done.returncode == 2
    assert "is not the file that was published" in log
    assert "ended before its work was done" in log


def test_a_damaged_input_is_named_in_the_last_line_of_the_run(folder: Path, tmp_path: Path) -> None:
    source = folder / "source.parquet"
    pq.write_table(pa.table({"path": ["seven.jpg", "deep/three.png"]}), source, row_group_size=1)
    source.write_bytes(source.read_bytes().replace(b"deep", b"\xff" * 4))

    result = run(cli, ["predict", "--input", str(source), "--output", str(tmp_path / "out.parquet"), "--workers", "1"])

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"numeral: Row group 1 of {source} cannot be read: ")


def _behind_the_wall(folder: Path, output: Path, settings: Settings, ticks: Callable[[], None] = lambda: None) -> pa.Table:
    with open_run(str(folder), output, settings) as opened:
        processes.answer_in_processes(opened.task, opened.remaining(), ticks, workers=2)
        opened.finish()
    return pq.read_table(output)


def _by_name(table: pa.Table) -> dict[str, tuple[int | None, str | None]]:
    rows = zip(table["path"].to_pylist(), table["digit"].to_pylist(), table["code"].to_pylist(), strict=True)
    return {Path(path).name: (digit, code) for path, digit, code in rows}


def _hurt(folder: Path) -> dict[str, tuple[int | None, str | None]]:
    """Puts good pictures around those in the folder; what is expected of them."""
    for number in range(40):
        (folder / f"{number:02d}.png").write_bytes(encode(canvas(3)))
    return {f"{number:02d}.png": (3, None) for number in range(40)}


def test_a_picture_that_takes_too_long_is_a_row_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 1.0)
    (tmp_path / "pictures").mkdir()
    expected = _hurt(tmp_path / "pictures")
    for name in ("07.slow.bmp", "23.slow.bmp"):
        (tmp_path / "pictures" / name).write_bytes(bmp(3_000, 3_000, 8, 1, b"\1\0" * 9_000_000))
        expected[name] = None, "decoding-timed-out"

    settings = Settings(model_version=SHIPPED, decoder_seconds=0.5)

    assert _by_name(_behind_the_wall(tmp_path / "pictures", tmp_path / "out.parquet", settings)) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_a_picture_that_takes_too_much_memory_is_a_row_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    expected = _hurt(tmp_path / "pictures")
    (tmp_path / "pictures" / "07.large.png").write_bytes(png(13_000, 13_000, colour=2))  # 676 MB as Pillow holds it
    expected["07.large.png"] = None, "decoding-out-of-memory"

    settings = Settings(model_version=SHIPPED, max_pixels=13_000**2, decoder_bytes=16 * MIB)

    assert _by_name(_behind_the_wall(tmp_path / "pictures", tmp_path / "out.parquet", settings)) == expected


def test_a_picture_that_crashes_its_process_is_a_row_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    expected = _hurt(tmp_path / "pictures")
    (tmp_path / "pictures" / "07.slow.bmp").write_bytes(bmp(3_000, 3_000, 8, 1, b"\1\0" * 9_000_000))
    expected["07.slow.bmp"] = None, "decoder-crashed"

    def crash_who_works() -> None:
        """What a decoder's fault would do: a signal to each process, once both have begun and one has the picture in its hands."""
        children = active_children()
        busy = [child for child in children if child.pid and _cpu_seconds(child.pid) > 2.5]
        if len(busy) == 1 and not killed:
            killed.append(busy[0].pid or 0)
            os.kill(killed[0], signal.SIGSEGV)

    killed: list[int] = []
    table = _behind_the_wall(
        tmp_path / "pictures", tmp_path / "out.parquet", Settings(model_version=SHIPPED, decoder_seconds=60), crash_who_works
    )

    assert len(killed) == 1
    assert _by_name(table) == expected


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


ENDLESS = """
from dataclasses import dataclass
from multiprocessing import resource_tracker
from app.bulk.processes import answer_in_processes
from app.settings import Settings

resource_tracker.register = lambda name, kind: print(kind, name)

@dataclass
class Idle:
    settings = Settings()
    def load(self): import time; time.sleep(60)

def interrupt(): raise KeyboardInterrupt

if __name__ == "__main__":
    answer_in_processes(Idle(), ["a piece that takes some room in the pipe"] * 20_000, interrupt, workers=1)
"""


def test_an_interrupted_run_ends_even_if_many_pieces_wait_and_leaves_nothing_to_clean_up(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)

    ended = subprocess.run([sys.executable, tmp_path / "endless.py"], check=False, capture_output=True, timeout=60)

    assert ended.stderr.splitlines()[-1] == b"KeyboardInterrupt"
    assert not ended.stdout, "what is registered may be warned of after the last line"


def _bulk(source: Path, output: Path, store: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "app", "predict", "--input", str(source), "--output", str(output), "--workers", "2"]
    environment = {**os.environ, "NUMERAL_MODEL_STORE": str(store), "NUMERAL_MODEL_VERSION": "1"}
    return subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True)


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in Linux's /proc")
def test_a_killed_run_continues_without_losing_or_repeating_a_row(
    tmp_path: Path, make_store: MakeStore, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(1500):
        (pictures / f"{number:04d}.png").write_bytes(encode(Image.fromarray(excerpt[0][number % 500])))
    store, output, work = make_store(), tmp_path / "out.parquet", tmp_path / ".out.parquet.parts"

    first = _bulk(pictures, output, store)
    while not list(work.glob("part-*.parquet")):
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.01)
    children = _children(first.pid)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    while any(Path(f"/proc/{child}").exists() for child in children):  # they end with it
        time.sleep(0.01)
    done = {path.name: path.stat().st_mtime_ns for path in work.glob("part-*.parquet")}
    second = _bulk(pictures, output, store)
    _, log = second.communicate(timeout=120)

    table = pq.read_table(output)
    assert 0 < len(done) < 6
    assert second.returncode == 0
    assert "of them in an earlier run" in log
    assert table["id"].to_pylist() == list(range(1500))
    assert sorted(Path(path).name for path in table["path"].to_pylist()) == sorted(path.name for path in pictures.iterdir())
    assert set(table["digit"].to_pylist()) == {3}
    assert not work.exists()


def test_all_digits_of_each_picture_are_read_on_request(folder: Path, tmp_path: Path, here: Engine) -> None:
    (folder / "row.png").write_bytes(encode(row("3520", 24)))
    output = tmp_path / "texts.parquet"

    with open_run(str(folder), output, SETTINGS, numbers=True) as bulk:
        here(bulk.task, bulk.remaining(), lambda: None)
        bulk.finish()

    rows = {Path(each["path"]).name: each for each in pq.read_table(output).to_pylist()}
    assert rows["row.png"]["text"] == "3520"
    assert 0 < rows["row.png"]["confidence"] <= 1
    assert rows["three.png"]["text"] == "3"
    assert rows["blank.png"]["code"] == "no-digit-found"
    assert rows["blank.png"]["text"] is None


def test_a_run_goes_on_only_with_the_same_kind_of_answers(folder: Path, tmp_path: Path) -> None:
    with open_run(str(folder), tmp_path / "texts.parquet", SETTINGS, numbers=True):
        pass

    with pytest.raises(BulkError, match="numbers"), open_run(str(folder), tmp_path / "texts.parquet", SETTINGS):
        pass
