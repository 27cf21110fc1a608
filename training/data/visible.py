"""Checks that the writing is still visible in the picture: the finder cannot learn from what nobody can see."""

import cv2
import numpy as np

from training.data.dice import Pixels

LEAST = 0.5  # separation below which a character is lost
INKED, BARE = 0.5, 0.08  # of the strongest ink: at least the first is ink, at most the second is ground
NEAR = 0.12  # of a character's longer side: width of the ground examined around its ink
FLOOR = 4.0  # grey levels; smallest deviation assumed for a ground


def separation(pixels: Pixels, ink: Pixels, box: tuple[float, float, float, float]) -> float:
    """Distance of a character's ink from the ground around it, in standard deviations of that ground.

    pixels: (H, W, 3); ink: (H, W), of all characters; box: x, y, width, height of the character.
    """
    reach = max(1, round(NEAR * max(box[2:])))
    x, y = max(0, int(box[0]) - reach), max(0, int(box[1]) - reach)
    part = np.s_[y : int(box[1] + box[3]) + reach + 1, x : int(box[0] + box[2]) + reach + 1]
    own, colours = ink[part], pixels[part].astype(np.float32)
    strongest = int(own.max(initial=0))
    written = own > INKED * strongest
    around = cv2.dilate(np.asarray(written, np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    ground = around & (own <= BARE * strongest)
    if not strongest or not ground.any():
        return 0.0
    apart = np.abs(colours[written].mean(axis=0) - colours[ground].mean(axis=0))
    return float((apart / (colours[ground].std(axis=0) + FLOOR)).max())


def all_seen(pixels: Pixels, ink: Pixels, boxes: list[tuple[float, float, float, float]]) -> bool:
    """Whether each character is visible. ink and boxes are on the composed page: any size, the picture's proportions."""
    height, width = pixels.shape[:2]
    down, across = height / ink.shape[0], width / ink.shape[1]
    fitted = (
        ink if down == across == 1 else np.asarray(cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    )
    return all(separation(pixels, fitted, (x * across, y * down, w * across, h * down)) >= LEAST for x, y, w, h in boxes)
