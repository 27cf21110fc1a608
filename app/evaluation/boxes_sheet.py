"""Draws the digits of a reading into its picture."""

from collections.abc import Iterator
from math import exp

from PIL import Image, ImageDraw, ImageFont

from app.reading.answer import Box, Reading
from app.reading.decode.picture import Picture
from app.reading.numbers.read import NumberTrace

ACCEPTED, DOUBTED, MARK = (0, 140, 60), (210, 60, 0), (60, 90, 200)  # of a digit's box, and a mark's
CERTAIN = 0.95  # chance of a stretch, from which on it is not in doubt
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


def describe_number(read: NumberTrace) -> Iterator[str]:
    """How all digits of a picture were read, in words: the look, the places, what competed, and the likeliest texts."""
    reading, whole = read.reading, read.whole
    if whole:
        height, width = whole.page.window.pixels.shape[:2]
        yield f"Looked at as {width}×{height} pixels, in which digits are {whole.page.height:.0f} high."
        yield f"{len(whole.candidates)} places were looked at again, in {len(whole.stretches)} stretches."
        for number, stretch in enumerate(whole.stretches, start=1):
            if exp(stretch[0].chance) < CERTAIN:
                guesses = ", ".join(f"{guess.text or 'nothing'} {exp(guess.chance):.1%}" for guess in stretch[:3])
                yield f"Stretch {number} is in doubt: {guesses}."
    accepted = "accepted" if reading.accepted else "not accepted"
    yield f"Text: {_in_one_line(reading.text)}, {reading.confidence:.1%}, {accepted}."
    for each in reading.alternatives:
        yield f"Or {_in_one_line(each.text)}: {each.confidence:.1%}."
    for mark in reading.marks:
        yield f"A mark in line {mark.line + 1} after {mark.after} digits: {mark.kind}."
    for finding in reading.warnings:
        yield f"{finding.code}: {finding.detail}"


def _in_one_line(text: str) -> str:
    return text.replace("\n", " / ")
