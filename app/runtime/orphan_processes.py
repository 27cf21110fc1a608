"""Reaps processes that outlived their parents, where nothing else does: in a container without an init."""

import os
from collections.abc import Container
from contextlib import suppress


def reap_orphans(known: Container[int | None]) -> None:
    """Reaps the ended children that this process has inherited, if it is process 1; without that they would stay as zombies.

    Every process whose parent has ended becomes a child of process 1: decoders of a starter that was killed, or the starter of
    a worker that was killed. known: the ids of the children that this process has started, which it waits for itself.
    """
    if os.getpid() != 1:
        return
    with suppress(ChildProcessError):  # there is no child
        # WNOWAIT only looks. Once a known child has ended, others wait behind it until that is reaped.
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in known:
            os.waitpid(ended.si_pid, 0)
