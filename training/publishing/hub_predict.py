"""Reads the digits in a picture: ``python predict.py seven.jpg``. It needs onnxruntime, numpy and pillow."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps

MODEL = Path(__file__).with_name("model.onnx")
LONGEST = 1024  # pixels of the longer side that the model is shown
SHORTEST = 4  # it takes no shorter side
OUTPUTS = ["boxes", "scores", "probabilities", "accepted", "count"]


def load_picture(path: Path) -> tuple[NDArray[np.uint8], float]:
    """The picture as the model takes it, RGB (H, W, 3), upright and on white; and by how much it was reduced, at most 1."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    opaque = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    opaque.thumbnail((LONGEST, LONGEST))
    width, height = (max(SHORTEST, side) for side in opaque.size)
    return np.asarray(opaque.resize((width, height))), max(opaque.size) / max(upright.size)


def predict(session: Any, path: Path) -> list[dict[str, Any]]:
    """The digits in a picture, the most prominent first; boxes are in pixels of the file, after it was turned upright."""
    picture, scale = load_picture(path)
    boxes, scores, probabilities, accepted, count = session.run(OUTPUTS, {"picture": picture})
    return [
        {
            "digit": int(probabilities[place].argmax()),
            "confidence": float(probabilities[place].max()),
            "accepted": bool(accepted[place]),
            "score": float(scores[place]),
            "box": [round(float(side) / scale, 1) for side in boxes[place]],  # left, top, width, height
        }
        for place in range(int(count[0]))
    ]


def main() -> None:
    """Prints a line of JSON for each picture that is named."""
    session = onnxruntime.InferenceSession(MODEL)
    for name in sys.argv[1:]:
        print(json.dumps({"picture": name, "digits": predict(session, Path(name))}))  # noqa: T201  its answer


if __name__ == "__main__":
    main()
