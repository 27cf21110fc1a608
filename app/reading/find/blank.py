"""Why nothing is in a picture that has one colour."""

import numpy as np
from numpy.typing import NDArray

from app.errors import NoDigitFound

BLACK = 16  # the lightest level of black; JPEG may move a level
MADE_BLACK = (
    "The picture is black all over. A transparent canvas becomes black in a JPEG, and black ink on it vanishes: send a PNG, or "
    "fill the canvas with white first."
)


def blank(pixels: NDArray[np.uint8], otherwise: str) -> NoDigitFound:
    """The error for a blank picture (H, W, 3): why it may be black, otherwise the given words."""
    return NoDigitFound(MADE_BLACK if int(pixels[0, 0].max()) < BLACK else otherwise)
