"""Measures what a stored model gains and loses as int8: ``python -m benchmarks.cost.int8``. A trial; stores nothing.

Static quantisation to QDQ form, with weights per channel and activation ranges from training digits (Jacob et al. 2017,
arXiv:1712.05877).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from app.reading.find.finder import Finder
from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.preprocess import preprocess
from app.reading.infer.record import INPUT, ModelMetadata
from app.reading.infer.store import StoredModel, find_model
from app.reading.model import DigitModel
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.cost.timing import IMAGES_A_TURN, infer_images, open_session, quartiles, time_in_turns
from benchmarks.pictures import canvas, encode
from training.data.mnist import CLASSES, Digits, Split, load_digits
from training.errors import DataError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCHES = (1, 32)
CALIBRATING = 1_000  # digits; ranges by smallest and largest value hardly move after some hundreds
FLOAT, INT8 = "float32", "int8"


class CalibrationDigits:
    """Training digits one after the other, as onnxruntime's calibration asks for them."""

    def __init__(self, digits: Split, metadata: ModelMetadata) -> None:
        tensors = preprocess(digits.images[:CALIBRATING].numpy(), metadata.mean, metadata.std)
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = ({INPUT: tensor[np.newaxis]} for tensor in tensors)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next digit's input; None after the last."""
        return next(self._feeds, None)


@dataclass(frozen=True)
class Form:
    """The model in one form. wrong: digits misread, by split; seconds: CPU time an image in each turn, by what was timed."""

    file_bytes: int
    wrong: dict[str, int]
    seconds: dict[str, NDArray[np.float64]]


def measure(model: StoredModel, digits: Digits, turns: int, *, seven_bits: bool = False) -> dict[str, Form]:
    """The stored model as it is and as int8, side by side; with weights of seven bits, sums of two products cannot saturate."""
    with TemporaryDirectory() as folder:
        paths = {FLOAT: model.folder / "model.onnx", INT8: Path(folder) / "int8.onnx"}
        readers = {FLOAT: _reader(model, open_session(paths[FLOAT]))}
        calibration = CalibrationDigits(digits.train, readers[FLOAT].classifier.metadata)
        quantize(paths[FLOAT], calibration, paths[INT8], seven_bits=seven_bits)
        readers[INT8] = _reader(model, open_session(paths[INT8]))
        seconds = time_all({name: open_session(path) for name, path in paths.items()}, readers, digits.validation, turns)
        return {
            name: Form(
                paths[name].stat().st_size,
                {"validation": _wrong(reader, digits.validation), "test": _wrong(reader, digits.test)},
                {what: times[name] for what, times in seconds.items()},
            )
            for name, reader in readers.items()
        }


def quantize(path: Path, calibration: CalibrationDigits, to: Path, *, seven_bits: bool) -> None:
    """Writes the ONNX file at path as int8, its metadata kept."""
    from onnxruntime.quantization import QuantFormat, QuantType, quant_pre_process, quantize_static  # noqa: PLC0415

    prepared = to.with_suffix(".prepared.onnx")
    quant_pre_process(path, prepared)
    quantize_static(
        prepared,
        to,
        calibration,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=seven_bits,
    )


def time_all(
    sessions: Mapping[str, "InferenceSession"], readers: Mapping[str, Reader], digits: Split, turns: int
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """CPU seconds an image, by what is timed and by form: inference in batches, and the whole way from a picture's PNG."""
    timed = {
        f"inference, batches of {batch}": time_in_turns(
            {name: infer_images(session, batch) for name, session in sessions.items()}, turns
        )
        for batch in BATCHES
    }
    sent = {
        "a 28×28 PNG": [cv2.imencode(".png", image)[1].tobytes() for image in digits.images[:IMAGES_A_TURN].numpy()],
        "a 280×280 canvas": [encode(canvas(digit % CLASSES)) for digit in range(IMAGES_A_TURN)],
    }
    for what, pictures in sent.items():
        timed[f"from {what} to the answer"] = time_in_turns(
            {name: _read_all(reader, pictures) for name, reader in readers.items()}, turns
        )
    return timed


def _reader(model: StoredModel, session: "InferenceSession") -> Reader:
    metadata = ModelMetadata.from_properties(session.get_modelmeta().custom_metadata_map)
    finder = Finder.load(model.read_edition("finder"), model.title, "cpu", 1)
    return Reader(DigitModel(finder, DigitClassifier(session, model.record, metadata)))


def _read_all(reader: Reader, pictures: list[bytes]) -> Callable[[], None]:
    def work() -> None:
        for picture in pictures:
            reader.read(picture)

    return work


def _wrong(reader: Reader, split: Split) -> int:
    answers = reader.classifier.infer(split.images.numpy()).digits.argmax(axis=1)
    return int((answers != split.labels.numpy()).sum())


def write_table(forms: dict[str, Form], sizes: dict[str, int]) -> str:
    """Both forms side by side in Markdown; sizes: digits a split."""
    lines = ["| | float32 | int8 | int8 to float32 |", "|---|---|---|---|"]
    one, other = forms[FLOAT], forms[INT8]
    for split, size in sizes.items():
        shares = [1 - form.wrong[split] / size for form in (one, other)]
        lines.append(f"| {split} | {shares[0]:.2%} | {shares[1]:.2%} | {100 * (shares[1] - shares[0]):+.3f} points |")
    kib = [form.file_bytes / 2**10 for form in (one, other)]
    lines.append(f"| file | {kib[0]:,.0f} KiB | {kib[1]:,.0f} KiB | {kib[1] / kib[0]:.2f} |")
    for what in one.seconds:
        micros = [1e6 * quartiles(form.seconds[what])[1] for form in (one, other)]
        low, middle, high = quartiles(other.seconds[what] / one.seconds[what])
        lines.append(f"| {what} | {micros[0]:.0f} µs | {micros[1]:.0f} µs | {middle:.2f} ({low:.2f}–{high:.2f}) |")
    return "\n".join(lines)


def run(
    turns: Annotated[int, typer.Option(help="How often each form's time is taken.", min=1)] = 100,
    seven_bits: Annotated[bool, typer.Option("--seven-bits", help="Weights of seven bits in place of eight.")] = False,
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
) -> None:
    """Compares the model that is served with itself as int8, and prints the table."""
    settings = Settings()
    try:
        digits = load_digits(data_dir)
    except DataError as error:
        Console(stderr=True).print(str(error), style="red")
        raise typer.Exit(1) from error
    model = find_model(settings.model_store, settings.model_name, settings.model_version)
    forms = measure(model, digits, turns, seven_bits=seven_bits)
    sizes = {"validation": len(digits.validation), "test": len(digits.test)}
    print(f"Model `{model.title}`:\n\n{write_table(forms, sizes)}")  # noqa: T201


if __name__ == "__main__":
    typer.run(run)
