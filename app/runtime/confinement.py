"""Drops a process's rights for good before it touches a picture. Linux only; unavailable measures are skipped and reported."""

import ctypes
import os
import platform
import resource
import struct
import sys
from contextlib import suppress

from app.runtime.decoder_protocol import DIES_WITH_PARENT, MEMORY_LIMIT, NO_FILES_OR_NETWORK, NO_NEW_PRIVILEGES

PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 15, 22, 38  # prctl(2)
SIGKILL = 9
SECCOMP_MODE_FILTER = 2
NICENESS = 5  # as for a worker thread: the event loop goes first
SPARE_FILES = 8  # descriptors in addition to the open ones; none is needed
LEFT_OVER_SECONDS = 2  # RLIMIT_CPU counts whole seconds; the wall clock, which the parent watches, comes first

# seccomp(2): system calls that open files, reach other processes or the network, or start programs, by their numbers.
# fmt: off
X86_64 = (
    2, 41, 42, 43, 49, 50, 53, 57, 58, 59, 62, 76, 82, 83, 84, 85, 86, 87, 88, 90, 92, 101, 165, 200, 257, 258, 259, 260, 263,
    264, 265, 266, 268, 272, 288, 304, 308, 310, 311, 316, 321, 322, 323, 425, 426, 427, 428, 434, 437, 438,
)
AARCH64 = (
    33, 34, 35, 36, 37, 38, 40, 45, 53, 54, 56, 97, 117, 129, 130, 198, 199, 200, 201, 202, 203, 221, 242, 265, 268, 270, 271,
    276, 280, 281, 282, 425, 426, 427, 428, 434, 437, 438,
)
# fmt: on
ARCHITECTURES = {
    "x86_64": (0xC000003E, X86_64, 56),
    "aarch64": (0xC00000B7, AARCH64, 220),
}  # audit architecture, refused calls, clone
CLONE3, CLONE_THREAD = 435, 0x00010000
X32 = 0x40000000  # x86-64 has a second set of system call numbers from here on
EPERM, ENOSYS = 1, 38
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000


def confine(memory: int, parent: int) -> int:
    """Confines this process; returns the protocol's flags for the measures that took effect.

    memory: bytes that it may map in addition to what it maps now. parent: the process whose end also ends this one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    flags = 0
    if libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0:
        flags |= DIES_WITH_PARENT
    if os.getppid() != parent:  # the parent ended before prctl took effect
        os._exit(1)
    _offer_to_the_memory_killer()
    with suppress(OSError):
        os.nice(NICENESS)
    if limit_memory(memory):
        flags |= MEMORY_LIMIT
    for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, _files() + SPARE_FILES)):
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        flags |= NO_NEW_PRIVILEGES
        if _filter_system_calls(libc):
            flags |= NO_FILES_OR_NETWORK
    return flags


def name_process(name: str) -> None:
    """Sets the name that ps and top show; at most 15 characters."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode("ascii"), 0, 0, 0)


def limit_memory(memory: int) -> bool:
    """Lets the process map this many bytes more than now; returns whether the limit could be set."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  pathlib is not needed for anything else here
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    except (OSError, ValueError):
        return False
    return True


def allow_cpu(seconds: float) -> None:
    """Lets the process use this many seconds of CPU time from now on, rounded up, before it is killed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + LEFT_OVER_SECONDS
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def _offer_to_the_memory_killer() -> None:
    """Makes the kernel kill a decoder before the service when the machine runs out of memory."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  as above
        file.write("1000")


def _files() -> int:
    """The lowest free descriptor, which is one more than the highest open one here."""
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    return lowest


def _filter_system_calls(libc: ctypes.CDLL) -> bool:
    """Has the kernel refuse system calls that no decoder needs; returns whether the filter could be installed."""
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None or sys.maxsize < 2**32:
        return False
    program = _program(*architecture)
    buffer = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(head), 0, 0) == 0)


def _program(audit: int, refused: tuple[int, ...], clone: int) -> bytes:
    """A classic BPF program on struct seccomp_data: call number at 0, architecture at 4, first argument at 16."""
    load, equal, above, all_of, give = 0x20, 0x15, 0x35, 0x45, 0x06

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    start = [line(load, 4), line(equal, audit, 1, 0), line(give, KILL), line(load, 0)]
    start += [line(above, X32, 0, 1), line(give, REFUSE | EPERM)]
    start += [
        line(equal, CLONE3, 0, 1),
        line(give, REFUSE | ENOSYS),
    ]  # the C library then falls back to clone, whose flags a filter can see
    start += [
        line(equal, clone, 0, 4),
        line(load, 16),
        line(all_of, CLONE_THREAD, 1, 0),
        line(give, REFUSE | EPERM),
        line(give, ALLOW),
    ]
    tests = [part for number in refused for part in (line(equal, number, 0, 1), line(give, REFUSE | EPERM))]
    return b"".join((*start, *tests, line(give, ALLOW)))
