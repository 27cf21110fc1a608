"""Other ways to read a picture of one digit: they get the picture as a person sees it, and count as ours does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.reading import Reader
from benchmarks.accuracy.alternatives import Column, ask, describe, read_ours, write_plain
from benchmarks.accuracy.labelled import Labelled
from tests.versions import SHIPPED

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load(version=SHIPPED)


def test_a_transparent_drawing_is_handed_to_others_on_white(tmp_path: Path) -> None:
    file = write_plain(Labelled(EXAMPLES / "three.png", "3", "canvas", "me"), tmp_path, 0)

    pixels = np.asarray(Image.open(file))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min() == 0


def test_others_get_the_same_file_as_we_do(tmp_path: Path) -> None:
    """A PNG of a photo would cost them more to decode."""
    photo = Image.open(EXAMPLES / "seven.jpg").convert("RGB")
    own, turned = tmp_path / "own.jpg", tmp_path / "turned.jpg"
    photo.save(own)
    exif = photo.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    photo.save(turned, exif=exif)

    same, upright = (write_plain(Labelled(each, "7", "photo", "me"), tmp_path, 0) for each in (own, turned))

    assert same == own
    with Image.open(upright) as image:
        assert (image.format, image.size, upright != turned) == ("JPEG", photo.size[::-1], True)


def test_ours_is_asked_as_the_service_is_and_a_file_that_is_not_a_picture_counts_as_wrong(
    reader: Reader, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no picture")

    column = ask("ours", read_ours(reader), [EXAMPLES / "seven.jpg", tmp_path / "text.png"])

    assert column.texts == ["7", ""]
    assert column.seconds > 0


def test_the_table_counts_photos_and_drawings_apart() -> None:
    pictures = [Labelled(Path(name), label, kind, "me") for name, label, kind in (("a", "1", "photo"), ("b", "2", "canvas"))]

    row = describe(Column("ours", ["1", "22"], 0.1), pictures)

    assert row == "| ours | 1 of 1 (100.0%) | 0 of 1 (0.0%) | 50.0 ms |"
