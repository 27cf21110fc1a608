"""Other ways to read the pictures that a benchmark reads: another network on the same glyphs, or an earlier version."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from app.reading.trace import Trace
from training.learning.checkpoints import load_checkpoint, load_config
from training.learning.evaluate import infer

OtherReader = Callable[[bytes, Trace], int | None]  # a picture's bytes, and how the reader read it -> the digit; None for none

LENGTH = 4  # bytes that say how long a picture is
NONE = 255  # stands for no digit

ASKED = f"""
import os, sys
import app

if not app.__file__.startswith(os.getcwd() + os.sep):  # another, that is installed
    sys.exit("There is no package app in " + os.getcwd())
from app.errors import NoDigitFound
from app.reading.reader import Reader

reader = Reader.load()
pictures, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", 0)
record = reader.classifier.record
answers.write(f"{{record.name}}/{{record.version}}\\n".encode())
while length := pictures.read({LENGTH}):
    try:
        answer = reader.read(pictures.read(int.from_bytes(length, "big"))).digit
    except NoDigitFound:
        answer = {NONE}
    answers.write(bytes([answer]))
"""


@dataclass(frozen=True)
class Earlier:
    """An earlier version that reads in a process of its own, with its own code. name: digits/2, for example."""

    name: str
    pictures: IO[bytes]
    answers: IO[bytes]

    def answer(self, data: bytes, _: Trace) -> int | None:
        """The digit in a picture, None where it finds none.

        Raises:
            EOFError: its process has ended.
        """
        self.pictures.write(len(data).to_bytes(LENGTH, "big") + data)
        self.pictures.flush()
        answer = self.answers.read(1)
        if not answer:
            raise EOFError(f"{self.name} has ended.")
        return None if answer[0] == NONE else answer[0]


@contextmanager
def reading_in(checkout: Path) -> Iterator[Earlier]:
    """Starts the reader of a checkout, and ends it at last.

    Raises:
        EOFError: it does not start; its own words are on stderr.
    """
    settings = {name: value for name, value in os.environ.items() if not name.startswith("NUMERAL_")}
    environment = settings | {"PYTHONPATH": str(checkout.resolve())}
    with subprocess.Popen(  # noqa: S603  the checkout is the caller's
        [sys.executable, "-c", ASKED], cwd=checkout.resolve(), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin  # noqa: S101  both are pipes
        assert process.stdout  # noqa: S101
        name = process.stdout.readline().decode().strip()
        if not name:
            raise EOFError(f"The reader in {checkout} does not start.")
        yield Earlier(name, process.stdin, process.stdout)
        process.stdin.close()


def look_with(run: Path) -> OtherReader:
    """The network of a run's folder, which is shown the glyph that the reader found.

    Raises:
        TrainingError: as load_config.
    """
    network = load_checkpoint(run / "model.pth", load_config(run).model)

    def look(_: bytes, trace: Trace) -> int | None:
        if trace.steps is None:
            return None
        return int(infer(network, torch.from_numpy(trace.steps.glyph.pixels[np.newaxis])).argmax())

    return look
