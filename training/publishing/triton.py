"""Triton's configuration of a version's four models; each file serves the version that the store's pointer names."""

from pathlib import Path

from app.reading.infer.record import EDITIONS, ENERGY, FOLDERS, GLYPH, INPUT, LOGITS, NO_DIGIT, PROBABILITIES, Edition
from training.data.mnist import CLASSES
from training.files import write_text
from training.learning.reader_module import MOST
from training.publishing.finder_export import PIXELS
from training.publishing.reader_export import PICTURE

CONFIG = "config.pbtxt"

# A scalar of each row cannot be told otherwise than as one number that is reshaped; -1 is a free axis.
TENSORS: dict[Edition, str] = {
    "float32": f"""\
max_batch_size: 64
input [ {{ name: "{INPUT}", data_type: TYPE_FP32, dims: [ 1, 28, 28 ] }} ]
output [
  {{ name: "{LOGITS}", data_type: TYPE_FP32, dims: [ {CLASSES} ] }},
  {{ name: "{NO_DIGIT}", data_type: TYPE_FP32, dims: [ 1 ] }}
]
dynamic_batching {{ }}
""",
    "uint8": f"""\
max_batch_size: 64
input [ {{ name: "{GLYPH}", data_type: TYPE_UINT8, dims: [ 28, 28 ] }} ]
output [
  {{ name: "{PROBABILITIES}", data_type: TYPE_FP32, dims: [ {CLASSES} ] }},
  {{ name: "{ENERGY}", data_type: TYPE_FP32, dims: [ 1 ], reshape: {{ shape: [ ] }} }}
]
dynamic_batching {{ }}
""",
    "finder": f"""\
max_batch_size: 64
input [ {{ name: "{PIXELS}", data_type: TYPE_UINT8, dims: [ 3, -1, -1 ] }} ]
output [
  {{ name: "ink", data_type: TYPE_FP32, dims: [ -1, -1 ] }},
  {{ name: "digits", data_type: TYPE_FP32, dims: [ {CLASSES}, -1, -1 ] }},
  {{ name: "marks", data_type: TYPE_FP32, dims: [ 4, -1, -1 ] }},
  {{ name: "boxes", data_type: TYPE_FP32, dims: [ 4, -1, -1 ] }}
]
dynamic_batching {{ }}
""",
    "reader": f"""\
max_batch_size: 0
input [ {{ name: "{PICTURE}", data_type: TYPE_UINT8, dims: [ -1, -1, 3 ] }} ]
output [
  {{ name: "boxes", data_type: TYPE_FP32, dims: [ {MOST}, 4 ] }},
  {{ name: "scores", data_type: TYPE_FP32, dims: [ {MOST} ] }},
  {{ name: "{PROBABILITIES}", data_type: TYPE_FP32, dims: [ {MOST}, {CLASSES} ] }},
  {{ name: "{ENERGY}", data_type: TYPE_FP32, dims: [ {MOST} ] }},
  {{ name: "accepted", data_type: TYPE_BOOL, dims: [ {MOST} ] }},
  {{ name: "count", data_type: TYPE_INT32, dims: [ 1 ] }}
]
""",
}


def config(name: str, edition: Edition, version: str) -> str:
    """The config.pbtxt of an edition's folder, for that version of a model."""
    return (
        f'name: "{FOLDERS[edition].format(name)}"\nplatform: "onnxruntime_onnx"\n'
        f'default_model_filename: "{EDITIONS[edition]}"\n{TENSORS[edition]}'
        f"version_policy: {{ specific: {{ versions: [ {version} ] }} }}\n"
    )


def write_configs(store: Path, name: str, version: str) -> None:
    """Writes the config.pbtxt of each folder, so that Triton serves that version."""
    for edition, folder in FOLDERS.items():
        (store / folder.format(name)).mkdir(exist_ok=True)
        write_text(store / folder.format(name) / CONFIG, config(name, edition, version))
