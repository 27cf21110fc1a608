"""The wall: a picture can harm only its decoder process, and a decoder has access to nothing of the service."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import (
    DeadlineExceeded,
    DecoderCrashed,
    DecodingOutOfMemory,
    DecodingTimedOut,
    NotReady,
    RequestError,
    StartupError,
)
from app.reading.decode.picture import decode
from app.settings import Settings
from benchmarks.pictures import canvas, encode, photo
from tests.app.reading.decode.test_picture import BAD, MODES
from tests.fuzz.nasty import CHEAP, bmp, png

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems decode pictures in the service's own process")

if sys.platform == "linux":
    import resource

    from app.runtime import decoder_handle, decoder_protocol, decoder_starter
    from app.runtime.decoder_processes import DecoderProcesses
    from app.runtime.decoder_protocol import Costs
    from app.runtime.decoder_starter import starter_command
    from app.runtime.orphan_processes import reap_orphans

MIB = 2**20
LIMITS = Settings()
SLOW = bmp(3_000, 3_000, 8, 1, b"\1\0" * 9_000_000)  # takes seconds: one Python call for each pixel
LARGE = png(7_000, 7_000, colour=6)  # 196 MB as Pillow holds it
GOOD = encode(photo(4), "JPEG")
SHARES = 16  # that the nasty pictures are divided into; the usual tests take one of them


@pytest.fixture(scope="module")
def wall() -> Iterator["DecoderProcesses"]:
    """Two decoder processes with a tight limit on memory, and as much time as a busy machine takes."""
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 100.0), 2)
    wall.start()
    yield wall
    wall.close()


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ("", "each with 134 MB and 100 s for one; files and network are closed to them"),
        ("MEMORY_LIMIT", "each with memory that is not limited and 100 s for one; files and network are closed to them"),
        ("NO_FILES_OR_NETWORK", "each with 134 MB and 100 s for one; files and network are open to them"),
    ],
)
def test_the_log_says_which_limits_took_effect(
    refused: str, told: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = decoder_starter.DecoderStarter.start

    def start_without(starter: "decoder_starter.DecoderStarter") -> "decoder_handle.DecoderHandle":
        process = start(starter)
        process.confined &= ~getattr(decoder_protocol, refused, 0)
        return process

    monkeypatch.setattr(decoder_starter.DecoderStarter, "start", start_without)
    with caplog.at_level("INFO"), closing(DecoderProcesses(LIMITS, Costs(128 * MIB, 100.0), 1)) as processes:
        processes.start()

    assert f"1 processes decode pictures, {told}" in [record.getMessage() for record in caplog.records]


def is_well(wall: "DecoderProcesses") -> bool:
    """Whether both processes live and decode."""
    wall.mend()
    return wall.decode(GOOD).width == 640 and wall.living == 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("size", [(64, 48), (640, 480), (1500, 2100)], ids=str)
def test_a_picture_is_the_same_behind_the_wall(wall: "DecoderProcesses", kind: str, size: tuple[int, int]) -> None:
    data = encode(photo(4).resize(size), kind)

    ours, there = decode(data, LIMITS), wall.decode(data)

    np.testing.assert_array_equal(there.pixels, ours.pixels)
    assert (there.width, there.height, there.frame) == (ours.width, ours.height, ours.frame)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_the_same_behind_the_wall(wall: "DecoderProcesses", mode: str) -> None:
    data = encode(MODES[mode](canvas(7)), "PNG")

    np.testing.assert_array_equal(wall.decode(data).pixels, decode(data, LIMITS).pixels)


def test_heic_is_the_same_behind_the_wall(wall: "DecoderProcesses") -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    data = encode(photo(4), "HEIF")

    np.testing.assert_array_equal(wall.decode(data).pixels, decode(data, LIMITS).pixels)


@pytest.mark.parametrize(("data", "error"), BAD.values(), ids=BAD.keys())
def test_bad_bytes_get_the_same_error_behind_the_wall(wall: "DecoderProcesses", data: bytes, error: type[RequestError]) -> None:
    with pytest.raises(error) as there:
        wall.decode(data)
    with pytest.raises(error) as ours:
        decode(data, LIMITS)

    assert there.value.detail == ours.value.detail


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.long) for first in range(1, SHARES))])
def test_nasty_pictures_have_the_same_outcome_behind_the_wall(wall: "DecoderProcesses", first: int) -> None:
    makers = list(CHEAP.items())[first::SHARES]
    ends = {name: (_end(wall.decode, make()), _end(lambda data: decode(data, LIMITS), make())) for name, make in makers}
    limited = {"decoding-out-of-memory", "decoding-timed-out"}

    assert {name: pair for name, pair in ends.items() if pair[0] != pair[1] and pair[0] not in limited} == {}
    assert is_well(wall)


def _end(decoder: object, data: bytes) -> str:
    try:
        decoder(data)  # type: ignore[operator]
    except RequestError as error:
        return error.code
    return "picture"


def test_a_picture_that_takes_too_long_is_refused_and_its_process_replaced() -> None:
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 0.3), 2)
    wall.start()
    before = set(wall.ids)

    with pytest.raises(DecodingTimedOut, match=r"longer than 0\.3 s"):
        wall.decode(SLOW)

    (killed,) = before - set(wall.ids)
    _wait_until(lambda: not Path(f"/proc/{killed}").exists())
    assert wall.living == 2
    wall.close()


def test_a_picture_is_given_up_at_its_deadline_and_its_process_replaced(wall: "DecoderProcesses") -> None:
    before = set(wall.ids)

    with pytest.raises(DeadlineExceeded):
        wall.decode(SLOW, time.monotonic() + 0.3)

    (killed,) = before - set(wall.ids)
    _wait_until(lambda: not Path(f"/proc/{killed}").exists())
    assert is_well(wall)


def test_a_picture_past_its_deadline_is_not_decoded(wall: "DecoderProcesses") -> None:
    before = wall.ids

    with pytest.raises(DeadlineExceeded):
        wall.decode(SLOW, time.monotonic())

    assert wall.ids == before


def test_a_picture_that_takes_too_much_memory_is_refused(wall: "DecoderProcesses") -> None:
    with pytest.raises(DecodingOutOfMemory):
        wall.decode(LARGE)

    assert is_well(wall)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL], ids=str)
def test_a_picture_that_crashes_its_decoder_is_refused(wall: "DecoderProcesses", number: signal.Signals) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=lambda: killed.extend(_kill_a_busy_one(wall, number) for _ in range(2)))
    killer.start()
    with pytest.raises(DecoderCrashed):
        wall.decode(SLOW)
    killer.join()

    assert len(set(killed)) == 2
    _wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in killed))
    assert is_well(wall)


def _kill_a_busy_one(wall: "DecoderProcesses", number: signal.Signals) -> int:
    """Kills a decoder that works, waits until it is replaced, and returns its id."""
    before = {process: _cpu_seconds(process) for process in wall.ids}

    def busy() -> list[int]:
        return [process for process in wall.ids if _cpu_seconds(process) > before.get(process, 0.0) + 0.1]

    _wait_until(busy)
    (killed,) = busy()
    os.kill(killed, number)
    _wait_until(lambda: killed not in wall.ids)
    return killed


CRASHING = """
decode = decoder_child.decode
decoder_child.decode = lambda data, limits: os._exit(9) if bytes(data) == b"crash" else decode(data, limits)
"""
UNGREETING = """
start, live, numbers = decoder_child._start, decoder_child._live, iter(range(99))
def start_all_but_one(*arguments):
    decoder_child._live = (lambda *_: None) if next(numbers) == 2 else live
    start(*arguments)
decoder_child._start = start_all_but_one
"""
UNFORKED = """
fork, numbers = os.fork, iter(range(99))
def fork_all_but_one():
    if next(numbers) == 2:
        raise BlockingIOError(11, "too many processes")
    return fork()
os.fork = fork_all_but_one
"""


def _spoil_starter(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    program = decoder_starter.PROGRAM.replace("; main()", f"\nimport os\nfrom app.runtime import decoder_child\n{code}\nmain()")
    monkeypatch.setattr(decoder_starter, "PROGRAM", program)


def test_each_picture_that_crashes_its_decoder_costs_two_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _spoil_starter(monkeypatch, CRASHING)
    start, started = decoder_starter.DecoderStarter.start, list[int]()

    def count(starter: "decoder_starter.DecoderStarter") -> "decoder_handle.DecoderHandle":
        process = start(starter)
        started.append(process.id)
        return process

    monkeypatch.setattr(decoder_starter.DecoderStarter, "start", count)
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 100.0), 2)
    wall.start()
    with closing(wall):
        starters = {_parent(process) for process in wall.ids}
        for _ in range(10):
            with pytest.raises(DecoderCrashed):
                wall.decode(b"crash")

        assert len(started) == 2 + 2 * 10
        assert {_parent(process) for process in wall.ids} == starters
        assert is_well(wall)


@pytest.mark.parametrize("code", [UNGREETING, UNFORKED], ids=["ends at its start", "cannot be forked"])
def test_a_decoder_that_fails_to_start_harms_no_other(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    _spoil_starter(monkeypatch, code)  # the third one fails
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 100.0), 2)
    wall.start()
    with closing(wall):
        killed, other = wall.ids
        os.kill(killed, signal.SIGKILL)
        _wait_until(lambda: wall.living == 1)

        wall.mend()
        assert other in wall.ids
        wall.mend()
        assert other in wall.ids
        assert is_well(wall)


@pytest.mark.parametrize("files", range(3))
def test_a_decoder_that_cannot_start_for_want_of_files_harms_no_other_and_leaves_none_open(files: int) -> None:
    starter = decoder_starter.DecoderStarter(LIMITS, Costs(128 * MIB, 100.0), starter_command())
    first = starter.start()
    before = _open_files()

    with _files_to_spare(files), pytest.raises(OSError, match="Too many open files"):
        starter.start()
    assert (first.lives(), _open_files()) == (True, before)

    starter.start().end()
    first.end()
    starter.end()


@contextmanager
def _files_to_spare(number: int) -> Iterator[None]:
    """This process may open so many more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(number):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for file in held:
            os.close(file)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_next_picture_is_not_blamed_for_an_idle_decoder_that_died(wall: "DecoderProcesses") -> None:
    for process in wall.ids:
        os.kill(process, signal.SIGKILL)
    _wait_until(lambda: wall.living == 0)

    assert wall.decode(GOOD).width == 640
    assert is_well(wall)


def test_while_one_decoder_is_busy_the_other_decodes_what_waits() -> None:
    wall, ends = DecoderProcesses(LIMITS, Costs(128 * MIB, 1_000.0), 2), list[str]()
    wall.start()
    busy = wall.ids[-1]  # which takes the first picture
    os.kill(busy, signal.SIGSTOP)
    threads = [threading.Thread(target=lambda: ends.append(_end(wall.decode, GOOD))) for _ in range(4)]
    for thread in threads:
        thread.start()
    _wait_until(lambda: len(ends) == 3)
    os.kill(busy, signal.SIGKILL)
    for thread in threads:
        thread.join()
    wall.close()

    assert ends == ["picture"] * 4  # the picture of the one that was killed, too: nothing tells that it was to blame


def test_dead_and_unresponsive_decoders_are_replaced(wall: "DecoderProcesses", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_handle, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(decoder_handle, "LIVING_SECONDS", 0.3)
    killed, stopped = wall.ids
    os.kill(killed, signal.SIGKILL)
    os.kill(stopped, signal.SIGSTOP)
    _wait_until(lambda: wall.living == 1)

    wall.mend()

    assert not {killed, stopped} & set(wall.ids)
    assert is_well(wall)


def test_while_an_idle_decoder_does_not_answer_another_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 100.0), 2)
    wall.start()
    hung, looked_at, go_on = wall.ids[0], threading.Event(), threading.Event()

    def answers(process: "decoder_handle.DecoderHandle") -> bool:
        if process.id != hung:
            return True
        looked_at.set()
        return not go_on.wait(60)

    monkeypatch.setattr(decoder_handle.DecoderHandle, "answers", answers)
    mending = threading.Thread(target=wall.mend)
    mending.start()
    with closing(wall):
        assert looked_at.wait(60)

        assert wall.decode(GOOD).width == 640
        assert not go_on.is_set()

        go_on.set()
        mending.join()
        assert hung not in wall.ids
        assert is_well(wall)


def test_a_look_at_idle_decoders_leaves_them_in_their_order() -> None:
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 100.0), 2)
    wall.start()
    with closing(wall):
        wall.mend()
        before = [_cpu_seconds(process) for process in wall.ids]
        for _ in range(40):
            wall.decode(GOOD)
        first, last = (_cpu_seconds(process) - then for process, then in zip(wall.ids, before, strict=True))

    assert last > 2 * first


AS_PROCESS_1 = """
import os, signal, time
from pathlib import Path
from app.runtime.decoder_processes import DecoderProcesses
from app.runtime.decoder_protocol import Costs
from app.settings import Settings
def children():
    return {int(child) for task in Path("/proc/1/task").iterdir() for child in (task / "children").read_text().split()}
wall = DecoderProcesses(Settings(), Costs(128 * 2**20, 5.0), 2)
wall.start()
before = {*children(), *wall.ids}
os.kill(*children(), signal.SIGKILL)
while wall.living:
    time.sleep(0.01)
end = time.monotonic() + 30
while before & children() and time.monotonic() < end:
    wall.mend()
    time.sleep(0.01)
print(os.getpid(), len(before), len(before & children()), wall.living)
"""


def test_process_1_reaps_the_decoders_of_a_starter_that_was_killed() -> None:
    inside = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
    with suppress(FileNotFoundError):
        if subprocess.run([*inside, "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0:
            environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
            command = [*inside, sys.executable, "-c", AS_PROCESS_1]
            run = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
            assert [int(word) for word in run.stdout.split()] == [1, 3, 0, 2]
            return
    pytest.skip("this user may not make a namespace of processes")


def test_another_process_than_1_leaves_its_children_alone() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        reap_orphans(())

        assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def test_when_the_starter_dies_its_decoders_die_too_and_all_are_replaced(wall: "DecoderProcesses") -> None:
    before = wall.ids
    (starter,) = {_parent(process) for process in before}
    os.kill(starter, signal.SIGKILL)
    _wait_until(lambda: wall.living == 0)

    wall.mend()

    assert is_well(wall)
    assert not {starter, *before} & {*wall.ids, *map(_parent, wall.ids)}


def test_a_decoder_has_no_privileges_files_secrets_or_memory_of_its_parent(wall: "DecoderProcesses") -> None:
    for process in wall.ids:
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
            if ":\t" in line
        )
        environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        files = {link.name: str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()}
        limits = Path(f"/proc/{process}/limits").read_text(encoding="ascii")

        assert status["Name"] == "numeral-decoder"
        assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")
        assert {part.partition(b"=")[0] for part in environment if part} <= {
            b"MALLOC_MMAP_THRESHOLD_", b"MALLOC_TRIM_THRESHOLD_", b"OMP_NUM_THREADS", b"OPENBLAS_NUM_THREADS", b"MALLOC_ARENA_MAX", b"LC_ALL", b"LD_LIBRARY_PATH", b"TZ",
        }  # fmt: skip
        assert sorted(name.partition(":")[0] for name in files.values()) == sorted(
            ["/dev/null"] * 3 + ["socket", "/memfd", f"/proc/{process}/statm"]
        )
        assert "Max file size             0                    0" in limits
        assert "Max address space         unlimited" not in limits


SECRETIVE = """
import os, sys
from app.runtime.decoder_processes import DecoderProcesses
from app.runtime.decoder_protocol import Costs
from app.settings import Settings
wall = DecoderProcesses(Settings(), Costs(128 * 2**20, 5.0), 2)
wall.start()
(powers,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff"))
print(*wall.ids, powers, bin(min(slot.process.confined for slot in wall._slots)), flush=True)
sys.stdin.read()
"""


POWERLESS = """
import ctypes, os, sys
for power in range(64):
    ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP: a program started afterwards has none, even as root
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def _elsewhere(*before: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", *before, SECRETIVE]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV], ids=str)
def test_all_processes_end_with_their_parent_however_it_ends(number: signal.Signals) -> None:
    with _elsewhere() as parent:
        assert parent.stdout
        assert parent.stdin
        ids = [int(word) for word in parent.stdout.readline().split()[:2]]
        everybody = {*ids, *map(_parent, ids)}
        parent.send_signal(number)
        parent.wait()

        _wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in everybody))


@pytest.mark.skipif(sys.platform == "linux" and os.getuid() != 0, reason="the other tests have no privileges either")
def test_confinement_needs_no_privileges() -> None:
    with _elsewhere(POWERLESS) as parent:
        told, _ = parent.communicate()

    assert [int(word, base) for word, base in zip(told.split()[-2:], (16, 2), strict=True)] == [0, 0b1111]


CONFINED = """
import os, socket, subprocess, sys
from app.runtime.confinement import confine
os.getppid
confine(256 * 2**20, os.getppid())
def attempt(what):
    try:
        what()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
kept = open
print({
    "file": attempt(lambda: kept("/etc/passwd")),
    "network": attempt(lambda: socket.socket()),
    "local socket": attempt(lambda: socket.socketpair()),
    "fork": attempt(os.fork),
    "program": attempt(lambda: os.execv("/bin/true", ["true"])),
    "signal": attempt(lambda: os.kill(os.getppid(), 0)),
    "remove": attempt(lambda: os.unlink("/tmp/none")),
    "memory": attempt(lambda: bytearray(300 * 2**20)),
    "less memory": attempt(lambda: bytearray(100 * 2**20)),
})
"""


def test_a_confined_process_cannot_reach_files_network_or_other_processes() -> None:
    command = [sys.executable, "-c", CONFINED]
    run = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())})

    ends = eval(run.stdout)
    assert ends.pop("less memory") == "done"
    assert ends.pop("memory") == "MemoryError"
    assert set(ends.values()) == {"PermissionError"}, ends


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import time; time.sleep(60)", "timed out"),
        ("raise SystemExit(3)", "ended before it was ready"),
        ("import os, socket, sys, json\nsocket.socket(fileno=json.loads(sys.argv[1])['socket']).send(b'nonsense')", "ended"),
    ],
    ids=["hangs", "ends", "talks nonsense"],
)
def test_a_starter_that_fails_to_start_gives_a_clear_error(monkeypatch: pytest.MonkeyPatch, program: str, why: str) -> None:
    monkeypatch.setattr(decoder_starter, "STARTER_SECONDS", 0.5)
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 1.0), 1, [sys.executable, "-c", program])

    with pytest.raises(StartupError, match=f"cannot be started: .*{why}"):
        wall.start()


def test_while_no_decoder_can_be_started_pictures_get_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 1.0), 1)
    wall.start()
    wall._starter.end()  # noqa: SLF001  neither picture nor signal can do this for good: the next start would work again
    monkeypatch.setattr(wall._starter, "_command", ["/bin/false"])  # noqa: SLF001  as above
    wall._slots[0].process.end()  # type: ignore[union-attr]  # noqa: SLF001  as above

    with pytest.raises(NotReady):
        wall.decode(GOOD)
    assert not wall.lives

    monkeypatch.setattr(wall._starter, "_command", starter_command())  # noqa: SLF001  as above
    wall.mend()
    assert wall.decode(GOOD).width == 640
    wall.close()


def test_the_memory_of_a_large_picture_is_returned(wall: "DecoderProcesses") -> None:
    large = encode(Image.effect_noise((3_000, 2_500), 50).convert("RGB"), "JPEG", quality=95)
    held = sum(map(_held, wall.ids))

    for _ in range(3):
        wall.decode(large)
    wall.decode(GOOD)

    assert sum(map(_held, wall.ids)) - held < 40 * MIB


def test_a_picture_that_comes_while_a_decoder_gives_up_its_place_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = decoder_starter.PROGRAM.replace("import main;", "import main; main.__globals__['GROWN'] = -(2**40);")
    monkeypatch.setattr(decoder_starter, "PROGRAM", given_up)
    wall = DecoderProcesses(LIMITS, Costs(128 * MIB, 100.0), 1)
    wall.start()
    with closing(wall):
        first = wall.ids

        assert {wall.decode(GOOD).width for _ in range(30)} == {640}
        assert wall.ids != first  # each was replaced after its picture, or after the next one, if that came before it had left


def _held(process: int) -> int:
    """A process's resident memory in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * 4096


def _cpu_seconds(process: int) -> float:
    """The CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[1])


def _wait_until(happens: object) -> None:
    end = time.monotonic() + 60
    while not happens():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)
