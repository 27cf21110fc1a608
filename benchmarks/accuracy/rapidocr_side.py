"""Asks RapidOCR, which has an environment of its own: ask_rapidocr starts this file with the Python there.

It reads JSON from standard input, whole: paths of pictures, lines: paths of the crops of each picture's lines. The last line
of standard output is JSON with the digits of each, and the CPU seconds that reading took.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple


class Answers(NamedTuple):
    """What RapidOCR reads, digits alone: in whole pictures, and in the lines of each; and CPU seconds for all."""

    whole: list[str]
    lines: list[str]
    seconds: float


def ask_rapidocr(python: Path, whole: Sequence[str], lines: Sequence[Sequence[str]]) -> Answers:
    """Has the Python of another environment read whole pictures, and the crops of the lines of each, all as paths."""
    question = json.dumps({"whole": whole, "lines": lines})
    done = subprocess.run(  # noqa: S603  the caller names the program; -I, since this folder's numbers.py is not Python's
        [python, "-I", __file__], input=question, capture_output=True, text=True, check=True
    )
    return Answers(**json.loads(done.stdout.splitlines()[-1]))


def digits_of(text: str) -> str:
    """The ASCII digits in a text."""
    return "".join(letter for letter in text if letter in "0123456789")


def in_reading_order(result: list[Any] | None) -> str:
    """The digits of RapidOCR's boxes, from top to bottom and from left to right."""
    boxes = [(min(y for _, y in box), max(y for _, y in box), min(x for x, _ in box), text) for box, text, _ in result or []]
    rows: list[list[tuple[float, float, float, str]]] = []
    for box in sorted(boxes, key=lambda each: each[0] + each[1]):
        if rows and (box[0] + box[1]) / 2 < rows[-1][0][1]:
            rows[-1].append(box)
        else:
            rows.append([box])
    return "".join(digits_of(text) for row in rows for _, _, _, text in sorted(row, key=lambda each: each[2]))


def main() -> None:
    """Reads the question, asks RapidOCR, and prints the answer."""
    question, engine = json.load(sys.stdin), import_module("rapidocr_onnxruntime").RapidOCR()  # the other environment's
    began = process_time()
    whole = [in_reading_order(engine(path)[0]) for path in question["whole"]]
    lines = []
    for crops in question["lines"]:
        results = [engine(path, use_det=False, use_cls=False)[0] or [] for path in crops]
        lines.append("".join(digits_of(str(text)) for result in results for text, *_ in result))
    print(json.dumps({"whole": whole, "lines": lines, "seconds": process_time() - began}))  # noqa: T201


if __name__ == "__main__":
    main()
