"""Camera, scanner and file: what happens to a picture on its way to the service."""

import cv2
import numpy as np

from training.data.dice import Dice, Floats, Pixels

SMALLEST = 28  # pixels; MNIST's side
JPEG_WORST, JPEG_BEST = 22, 96
DARK = 110.0  # grey levels; a page darker than this is a board with light ink
JPEG_FAINT = 60  # lowest quality for pictures with a contrast below FAINT: a lower one would delete the writing
FAINT = 40.0  # grey levels


def choose_side(side: int, dice: Dice) -> int:
    """Chooses the longer side of the picture taken of a scene that was composed at ``side``."""
    kind = dice.weighted({"full": 0.4, "large": 0.27, "small": 0.2, "tiny": 0.13})
    if kind == "full" or not dice.maybe(1, "camera"):
        return side
    if kind == "large":
        return round(side * dice.between(0.5, 1))
    if kind == "small":
        return round(dice.between(40, max(side / 2, 41)))
    return dice.pick((28, 28, 28, 32, 40))


def reduce(picture: Floats, side: int) -> Floats:
    """Reduces the picture to that longer side; never enlarges it."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = max(8, round(width * scale)), max(8, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def blur(picture: Floats, digit: float, dice: Dice) -> Floats:
    """Blurs the picture, but a digit of that many pixels stays readable."""
    sigma = dice.scale(0.3, 4)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), min(sigma, max(0.3, BLURRED * digit)), borderType=cv2.BORDER_REPLICATE))


def motion(picture: Floats, digit: float, dice: Dice) -> Floats:
    """Motion blur of less than a fifth of a digit."""
    length = max(2, min(dice.count(3, 10), round(digit / 5)))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), dice.between(0, 180), 1)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
    return np.asarray(
        cv2.filter2D(picture, -1, kernel / max(float(kernel.sum()), 0.1), borderType=cv2.BORDER_REPLICATE), np.float32
    )


def fade(picture: Floats, kept: float, dice: Dice) -> Floats:
    """Reduces the contrast to a share."""
    return np.asarray(picture * kept + dice.between(0, 255 * (1 - kept)), np.float32)


def noise(picture: Floats, most: float, dice: Dice) -> Floats:
    """Adds sensor noise, in grey or in each colour, with at most that deviation."""
    strength = min(dice.scale(0.6, 14), most)
    shape = picture.shape if dice.maybe(0.6) else (*picture.shape[:2], 1)
    return np.asarray(picture + dice.rng.standard_normal(shape, dtype=np.float32) * np.float32(strength), np.float32)


def grey(picture: Floats, dice: Dice) -> Floats:  # noqa: ARG001
    """Makes the picture grey, as a scanner does."""
    return np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)


def levels(picture: Floats, dice: Dice) -> Floats:
    """Stretches the contrast as a scanner or an app does: white paper and black ink, or both inverted."""
    dark = float(np.median(picture)) < DARK
    low, high = np.quantile(picture, (0.4, 0.998) if dark else (0.002, 0.6))
    low, high = (low, high) if high - low > 12 else (0.0, 255.0)
    stretched = np.clip((picture - low) / (high - low) * dice.between(200, 300), 0, 255)
    return np.asarray(255 - stretched if dice.maybe(0.3) else stretched, np.float32)


def sharpen(picture: Floats, dice: Dice) -> Floats:
    """Sharpens as a phone does, with halos."""
    soft = cv2.GaussianBlur(picture, (0, 0), 1.2, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(picture + (picture - soft) * np.float32(dice.between(0.3, 1.5)), np.float32)


def to_bytes(picture: Floats) -> Pixels:
    """Rounds to 0..255."""
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def jpeg(picture: Pixels, contrast: float, dice: Dice) -> Pixels:
    """Stores the picture as JPEG and reads it again."""
    quality = dice.count(JPEG_FAINT if contrast < FAINT else JPEG_WORST, JPEG_BEST)
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR), np.uint8
    )


BLURRED = 0.07  # of the digit's longer side: largest standard deviation of a lens's blur
LEAST_CONTRAST = 14.0  # grey levels between ink and paper that fading must leave
IN_TWO = 0.12  # share of pictures in black and white
FORM_IN_TWO = 0.5  # the same of forms, which are scanned more often
CLEAR = 3.5  # smallest ratio of the contrast to the noise's deviation


def photograph(  # noqa: PLR0913, PLR0917
    picture: Floats, side: int, contrast: float, digit: float, dice: Dice, in_two: float = IN_TWO
) -> Pixels:
    """Passes a lit page through lens, sensor and file: (h, w, 3) uint8 with the longer side ``side``.

    contrast: between ink and paper, in grey levels; digit: the digits' longer side in the stored picture, in pixels;
    in_two: the chance that it is made black and white. The writing stays visible.
    """
    picture = reduce(np.clip(picture, 0, 255), side)
    kept = dice.between(min(1.0, max(0.15, LEAST_CONTRAST / max(contrast, 1))), 1) if dice.maybe(0.25, "camera") else 1.0
    if kept < 1:
        picture = fade(picture, kept, dice)
    if dice.maybe(0.15):
        picture = grey(picture, dice)
    if dice.maybe(0.15, "camera"):
        picture = sharpen(picture, dice)
    if dice.maybe(0.75, "camera"):
        picture = blur(picture, digit, dice)
    if dice.maybe(0.06, "camera"):
        picture = motion(picture, digit, dice)
    if dice.maybe(0.18, "camera"):
        picture = levels(picture, dice)
    if dice.maybe(0.85, "camera"):
        picture = noise(picture, contrast * kept / CLEAR, dice)
    taken = to_bytes(picture)
    if dice.maybe(in_two, "camera"):
        taken = cut_in_two(taken, dice)
    return jpeg(taken, contrast * kept, dice) if dice.maybe(0.8, "camera") else taken


def cut_in_two(picture: Pixels, dice: Dice) -> Pixels:
    """Makes the picture black and white by a global or local threshold, as scanning apps do; sometimes inverted."""
    grey_picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    way = cv2.THRESH_BINARY_INV if dice.maybe(0.5) else cv2.THRESH_BINARY
    if dice.maybe(0.6):
        _, cut = cv2.threshold(grey_picture, 0, 255, way | cv2.THRESH_OTSU)
    else:
        block = max(3, min(picture.shape[:2]) // 4 * 2 + 1)
        cut = cv2.adaptiveThreshold(grey_picture, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, way, block, dice.between(6, 14))
    return np.repeat(np.asarray(cut, np.uint8)[..., np.newaxis], 3, axis=2)


def save_drawing(picture: Floats, side: int, contrast: float, digit: float, dice: Dice) -> Pixels:
    """Saves a canvas to a file, mostly unchanged."""
    picture = reduce(picture, side)
    if dice.maybe(0.2, "camera"):
        picture = blur(picture, digit, dice)
    if dice.maybe(0.06, "camera"):
        picture = noise(picture, contrast / CLEAR, dice)
    drawn = to_bytes(picture)
    return jpeg(drawn, contrast, dice) if dice.maybe(0.25, "camera") else drawn
