"""Draws the pictures of the docs with the shipped model: ``make pictures``."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw

from app.reading.answer import Prediction
from app.reading.decode.picture import decode
from app.reading.find.steps import Glyph, find_digits
from app.runtime.loading import load_reader
from app.settings import Settings
from benchmarks.pictures import BLACK, canvas, encode, photo

DOCS = Path(__file__).parent
PAGE = DOCS.parent / "app" / "web" / "page" / "static" / "examples"
INK = (40, 52, 110)


def draw_examples() -> dict[str, bytes]:
    """The pictures to try the service with: a photo, a transparent canvas, a drawing with a thin pen."""
    return {
        "seven.jpg": encode(photo(7, seed=7), "JPEG", quality=88),
        "three.png": encode(canvas(3, ground=None)),
        "five.png": encode(canvas(5, size=400, pen=4, ink=(250, 210, 60), ground=BLACK, box=(40, 60, 170, 250))),
    }


def draw_page_examples() -> dict[str, bytes]:
    """The pictures to click on the page, small: two that are read, two that are doubtful."""
    chalk = canvas(5, size=240, pen=5, ink=(240, 236, 220), ground=(36, 58, 48), box=(80, 55, 165, 185))
    two = Image.new("RGB", (240, 240), (250, 246, 236))
    for left, digit in ((12, 4), (122, 2)):
        two.paste(canvas(digit, size=110, pen=9, ink=INK, ground=(250, 246, 236), box=(22, 15, 88, 95)), (left, 65))
    letter = Image.new("RGB", (960, 960), (250, 246, 236))
    draw = ImageDraw.Draw(letter)
    for line in (((260, 760), (480, 200), (700, 760)), ((350, 570), (610, 570))):
        draw.line(line, fill=INK, width=60, joint="curve")
    return {
        "seven.jpg": encode(photo(7, seed=7).resize((320, 240)), "JPEG", quality=70),
        "five.png": encode(chalk.quantize(16)),
        "two-digits.png": encode(two.resize((160, 160)).quantize(8)),
        "letter.png": encode(letter.resize((160, 160)).quantize(8)),
    }


def draw_overview(examples: dict[str, bytes], path: Path) -> None:
    """For each example the picture with the box, the glyph that the model saw, and the ten probabilities."""
    reader = load_reader(Settings())
    figure = Figure(figsize=(8.4, 2.1 * len(examples)), layout="constrained")
    rows = figure.subplots(len(examples), 3, width_ratios=(1.35, 1, 1.6))
    for axes, (name, data) in zip(rows, examples.items(), strict=True):
        prediction = reader.read(data)
        _show_picture(axes[0], name, data, prediction)
        (steps,) = find_digits(reader.model.finder, decode(data, Settings()))
        _show_glyph(axes[1], steps.glyph)
        _show_probabilities(axes[2], prediction)
    for axes, title in zip(rows[0], ("what is posted", "what the model sees", "what it answers"), strict=True):
        axes.set_title(title)
    figure.savefig(path, dpi=110)


def _show_picture(axes: Axes, name: str, data: bytes, prediction: Prediction) -> None:
    pixels = decode(data, Settings()).pixels
    box = prediction.box
    axes.imshow(pixels)
    axes.add_patch(Rectangle((box.x, box.y), box.width, box.height, fill=False, edgecolor="tab:red", linewidth=1.5))
    axes.set(xticks=[], yticks=[], xlabel=name)


def _show_glyph(axes: Axes, glyph: Glyph) -> None:
    axes.imshow(glyph.pixels, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[], xlabel="28 × 28")


def _show_probabilities(axes: Axes, prediction: Prediction) -> None:
    colours = ["tab:blue" if digit == prediction.digit else "lightgrey" for digit in range(10)]
    axes.bar(range(10), prediction.probabilities, color=colours)
    axes.set(xticks=range(10), ylim=(0, 1.05), xlabel=f"digit {prediction.digit}, confidence {prediction.confidence:.2%}")
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Writes docs/examples, the page's examples and docs/images/overview.png."""
    examples = draw_examples()
    for folder, pictures in ((DOCS / "examples", examples), (PAGE, draw_page_examples())):
        for name, data in pictures.items():
            (folder / name).write_bytes(data)
    draw_overview(examples, DOCS / "images" / "overview.png")


if __name__ == "__main__":
    main()
