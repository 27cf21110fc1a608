"""A model repository for Hugging Face: the portable graph, the networks, a card and a program that reads a picture."""

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

from app.reading.infer.record import Edition
from app.reading.infer.store import RECORD, StoredModel
from training.publishing.publish import CARD, PICTURES

FILES: dict[Edition, str] = {
    "reader": "model.onnx",
    "finder": "finder.onnx",
    "float32": "classifier.onnx",
    "uint8": "classifier.uint8.onnx",
}  # each edition's name in the repository
PROGRAM = "hub_predict.py"
REQUIREMENTS = "onnxruntime>=1.24\nnumpy>=2.0\npillow>=12.0\n"
ATTRIBUTES = "*.onnx filter=lfs diff=lfs merge=lfs -text\n"  # Git hands large files to its extension for them

USE = """\
# Numeral, digits {version}

Reads handwritten digits, 0 to 9, in photos, scans and drawings. `model.onnx` does everything from a picture to its digits, in
standard ONNX operators, without code of its own.

```sh
pip install -r requirements.txt
python predict.py seven.jpg
```

`predict.py` prints the digits as JSON, the most prominent first. It turns the picture upright, puts it on white where it is
transparent, and reduces its longer side to 1,024 pixels. The model does the rest.

| file | |
|---|---|
| `model.onnx` | a picture, uint8 (H, W, 3), to boxes, scores, probabilities and acceptance of up to 64 digits |
| `finder.onnx` | where digits are, and which pixels are their ink |
| `classifier.onnx` | normalised glyphs, float32 (N, 1, 28, 28), to `logits` and `no_digit` |
| `classifier.uint8.onnx` | glyphs, uint8 (N, 28, 28), to calibrated `probabilities` and `energy` |
| `model.json` | how the version was made, and what it measured |

Below is the card of the version. It names the files as the project's model store does: `model.onnx` there is
`classifier.onnx` here, and `model.uint8.onnx` is `classifier.uint8.onnx`.
"""


def write_hub(model: StoredModel, folder: Path, licence: Path) -> list[Path]:
    """Writes the repository of a version into a folder, and returns its files. What else is in the folder stays.

    licence: the text of the project's licence.

    Raises:
        StartupError: a file of the version is missing, or is not the one that was published.
    """
    editions = model.read_editions()
    folder.mkdir(parents=True, exist_ok=True)
    for edition, name in FILES.items():
        (folder / name).write_bytes(editions[edition])
    for name in (RECORD, *PICTURES):
        shutil.copy(model.folder / name, folder)
    shutil.copy(licence, folder / "LICENSE")
    (folder / "predict.py").write_text((resources.files("training.publishing") / PROGRAM).read_text("utf-8"), encoding="utf-8")
    (folder / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    (folder / ".gitattributes").write_text(ATTRIBUTES, encoding="utf-8")
    (folder / "README.md").write_text(write_card(model), encoding="utf-8")
    return sorted(path for path in folder.iterdir() if path.is_file())


def write_card(model: StoredModel) -> str:
    """The card: metadata for the hub, how to use the repository, and the version's own card."""
    own = (model.folder / CARD).read_text(encoding="utf-8").partition("\n")[2]
    lines = [f"{key}: {json.dumps(value)}" for key, value in metadata(model).items()]  # JSON is YAML
    return "\n".join(
        ("---", *lines, "---", "", USE.format(version=model.record.version), "# Card of the version", "", own.lstrip())
    )


def metadata(model: StoredModel) -> dict[str, Any]:
    """What the hub shows, filters and searches by."""
    accuracy = {"type": "accuracy", "name": "accuracy of the classifier", "value": model.record.accuracy["mnist_test"]}
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"type": "ylecun/mnist", "name": "MNIST", "split": "test"},
        "metrics": [accuracy],
    }
    return {
        "license": "mit",
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["onnx", "onnxruntime", "handwriting", "handwritten-digits", "digit-recognition", "mnist"],
        "datasets": ["ylecun/mnist"],
        "metrics": ["accuracy"],
        "model-index": [{"name": f"numeral-digits-{model.record.version}", "results": [result]}],
    }
