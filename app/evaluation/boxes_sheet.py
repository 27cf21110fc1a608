"""Draws the digits of a reading into its picture."""

from PIL import Image, ImageDraw, ImageFont

from app.reading.answer import Box, Reading
from app.reading.decode.picture import Picture

ACCEPTED, DOUBTED, MARK = (0, 140, 60), (210, 60, 0), (60, 90, 200)  # of a digit's box, and a mark's
TEXT_SHARE = 0.4  # of a digit's height
LEAST_TEXT = 10  # pixels


def draw_boxes(picture: Picture, reading: Reading) -> Image.Image:
    """The picture with a box and the digit at each: green where it is accepted, orange where not; blue ones are marks."""
    image = Image.fromarray(picture.pixels)
    draw = ImageDraw.Draw(image)
    for digit in reading.digits:
        colour = ACCEPTED if digit.accepted else DOUBTED
        left, top, right, bottom = _corners(digit.box, picture)
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
        size = max(LEAST_TEXT, TEXT_SHARE * (bottom - top))
        draw.text((left + 3, max(0.0, top - size)), str(digit.digit), fill=colour, font=ImageFont.load_default(size))
    for mark in reading.marks:
        draw.rectangle(_corners(mark.box, picture), outline=MARK, width=1)
    return image


def _corners(box: Box, picture: Picture) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, in pixels of the reduced picture."""
    scale = picture.scale
    return box.x / scale, box.y / scale, (box.x + box.width) / scale, (box.y + box.height) / scale
