"""The only import of torchvision in training/.

torchvision's wheels are built against CUDA's torch. With a CPU build of torch, their compiled operators
cannot be loaded, and ``import torchvision`` fails because it refers to two operators that are not declared.
Data sets and transforms need neither, so this module declares the schemas of missing operators first.
"""

import importlib.util
from pathlib import Path

import torch


def _compiled_operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # the import below reports what is missing
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(library)
        except OSError:
            return False
    return True


def _declare_missing_operators() -> torch.library.Library | None:
    """Declares the schemas that torchvision refers to at import; the caller must keep the result alive."""
    if _compiled_operators_load():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


_schemas = _declare_missing_operators()

from torchvision import transforms  # noqa: E402
from torchvision.datasets import MNIST  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

__all__ = ["MNIST", "transforms", "v2"]
