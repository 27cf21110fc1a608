"""The whole way from a picture to an answer, as torch modules whose export is what is served.

picture ─► window (all of it) ─► look ─► detect ─► window (around each digit) ─► look ─► glyph ─► normalise ─► classify

Pictures are (1, 3, H, W), RGB in 0..255; glyphs (K, 28, 28) in 0..255. What is done elsewhere by other means, for speed, is
tested against these, and their constants are those of app.reading.find.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.reading.find.detect import LEAST, NEARBY, WEAK
from app.reading.find.glyph import BOX, CENTRE, DARK_BORDER, FAINT, FINE, FRINGE, HAT, ROOM, SIZE, SPREAD, VISIBLE
from app.reading.find.steps import BLANK, LARGE
from training.data.mnist import CLASSES, MEAN, STD
from training.learning.detections import Detections, detect, score_cells
from training.learning.finder import CELL, SIDE, Look, Looking
from training.learning.windows import around, cut, extent, in_picture, in_window, whole

MOST = 64  # digits a picture
GLYPH = SIZE  # a glyph's side


class Answer(NamedTuple):
    """What a picture's digits are, the most prominent first; one place without a digit where there is none.

    boxes: (K, 4), centre in x and y, width and height, in pixels of the picture; scores: (K,) in 0..1, 0 where there is no
    digit, also between others: one without ink; glyphs: (K, 28, 28) in 0..255; logits: (K, 10); none: (K,), the logit of no
    digit.
    """

    boxes: Tensor
    scores: Tensor
    glyphs: Tensor
    logits: Tensor
    none: Tensor


def cut_glyphs(ink: Tensor, boxes: Tensor) -> Tensor:
    """Ink (K, h, w) in 0..1 within boxes (K, 4), in pixels of the look -> glyphs (K, 28, 28) in 0..255, as MNIST has them.

    The ink's longer side becomes 20 and its centre of mass the middle, as far as it then fits in; the brightest is 255. A
    glyph without visible ink is black.
    """
    own = F.interpolate(_gate(ink, boxes).unsqueeze(1), scale_factor=float(FINE), mode="bilinear", align_corners=False)
    levels = own.squeeze(1)
    seen = levels >= FAINT
    left, right = _ends(seen.any(dim=1))
    top, bottom = _ends(seen.any(dim=2))
    longer = torch.maximum(right - left, bottom - top).clamp(min=1)
    step = longer / BOX
    across = _weights(levels.sum(dim=1), left, right, step)
    down = _weights(levels.sum(dim=2), top, bottom, step)
    small = down @ levels @ across.transpose(1, 2)
    brightest = small.amax(dim=(1, 2), keepdim=True)
    return torch.where(brightest > VISIBLE, small / brightest.clamp(min=VISIBLE), 0.0) * 255


def _gate(ink: Tensor, boxes: Tensor) -> Tensor:
    """Ink (K, h, w) without what is faint or outside of its box (K, 4), which is in pixels of the look."""
    scale = CELL // 2
    x, y, width, height = (boxes / scale).unbind(dim=1)
    inside = _between(ink.shape[2], x, width).unsqueeze(1) & _between(ink.shape[1], y, height).unsqueeze(2)
    return torch.where(inside & (ink >= FAINT), ink, 0.0)


def _between(size: int, middle: Tensor, extent: Tensor) -> Tensor:
    """(K, size) bool: which of so many pixels lie within a box's widened extent."""
    place = torch.arange(size, device=middle.device, dtype=torch.float32) + 0.5
    return (place - middle.unsqueeze(1)).abs() <= (extent * ROOM / 2 + 1).unsqueeze(1)


def _ends(seen: Tensor) -> tuple[Tensor, Tensor]:
    """The first place of (K, size) bool and the one after the last: (K,) float; 0 and 0 where there is none."""
    place = torch.arange(seen.shape[1], device=seen.device, dtype=torch.float32)
    last = torch.where(seen, place + 1, 0.0).amax(dim=1)
    first = torch.where(seen, place, float(seen.shape[1])).amin(dim=1)
    return torch.minimum(first, last), last


def _centre(weights: Tensor) -> Tensor:
    """The centre of mass of (K, size), in places: (K,)."""
    place = torch.arange(weights.shape[1], device=weights.device, dtype=torch.float32) + 0.5
    return (weights * place).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-6)


def _weights(sums: Tensor, first: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """How much each place of an axis counts for each pixel of the glyphs: (K, 28, n). sums: (K, n), the ink at each place.

    A pixel is the mean over a box that is as wide as four samples, each interpolated linearly, which are spread over its step.
    """
    start = _start(_centre(sums), first, end, step)
    reach = ((HAT + SPREAD * (step - 1).clamp(min=0) ** 2).sqrt() / 2)[:, None, None]
    place = torch.arange(sums.shape[1], device=sums.device, dtype=torch.float32) + 0.5
    pixels = torch.arange(GLYPH, device=sums.device, dtype=torch.float32) + 0.5
    middles = pixels * step.unsqueeze(1) + start.unsqueeze(1)
    covered = (reach + 0.5 - (middles.unsqueeze(2) - place).abs()).clamp(min=0)
    return torch.minimum(covered, (2 * reach).clamp(max=1)) / (2 * reach)


def _start(centre: Tensor, first: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """Where a glyph begins so that the centre of mass lies at CENTRE, but all ink inside of it."""
    start = centre - CENTRE * step
    return torch.minimum(torch.maximum(start, end - GLYPH * step), first)


class GlyphClassifier(nn.Module):
    """Glyphs (K, 28, 28) in 0..255 -> the digits' logits (K, 10), and that of no digit (K,)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, glyphs: Tensor) -> tuple[Tensor, Tensor]:
        """As the class says."""
        logits = self.classifier((glyphs.unsqueeze(1) / 255 - MEAN) / STD)
        return logits[:, :CLASSES], logits[:, CLASSES:].sum(dim=1)


class Reader(nn.Module):
    """A finder and a classifier, from a picture to its digits."""

    def __init__(self, finder: nn.Module, classifier: nn.Module, most: int = MOST) -> None:
        super().__init__()
        self.look, self.classify = Looking(finder), GlyphClassifier(classifier)
        self.most = most

    def forward(self, pixels: Tensor) -> Answer:
        """One picture (H, W, 3) uint8 -> its digits, the most prominent first."""
        picture = pixels.permute(2, 0, 1).unsqueeze(0).float()
        first = cut(picture, whole(picture))
        look, detections = self.find(first.pixels, self.most)
        boxes, scores = most_prominent(detections, is_normalised(picture))
        glyphs, place = self.draw(picture, first.frames, look, boxes)
        logits, none = self.classify(glyphs)
        return Answer(place, torch.where(glyphs.amax(dim=(1, 2)) > 0, scores, 0.0), glyphs, logits, none)

    def find(self, pixels: Tensor, most: int) -> tuple[Look, Detections]:
        """The first look, at a window (1, 3, SIDE, SIDE) that shows all of a picture, and its digits; none if it is blank."""
        look: Look = self.look(pixels)
        found = detect(look, most, LEAST)
        shown = (pixels - pixels[:, :, :1, :1]).abs().max() > BLANK
        return look, found._replace(scores=found.scores * shown)

    def draw(self, picture: Tensor, frames: Tensor, look: Look, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Glyphs (K, 28, 28), black without ink, and boxes (K, 4) in pixels of the picture, of a first look's boxes (K, 4).

        frames: of the first look, (1, 4). Each is looked at again; what was large enough is drawn as it was seen at first.
        """
        large = boxes[:, 2:].amax(dim=1) >= LARGE
        first = cut_glyphs(look.ink.expand(boxes.shape[0], -1, -1), boxes)
        place = in_picture(boxes, frames)
        again = cut(picture, around(place))
        closer: Look = self.look(again.pixels)
        own = refine(closer, place, again.frames)
        second = cut_glyphs(closer.ink, own)
        glyphs = torch.where(large[:, None, None], first, second)
        place = torch.where(large.unsqueeze(1), place, in_picture(own, again.frames))
        kept, normal = is_normalised(picture), normalised(picture).unsqueeze(0)
        glyphs = torch.where(kept, normal.expand_as(glyphs), glyphs).round()
        return glyphs, torch.where(kept, bounds(normal).expand_as(place), place)


def most_prominent(found: Detections, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (K, 4) and scores (K,) of what was found in one picture: large digits that were surely found come first.

    K is how many there are, or 1. kept: () bool, whether the picture is a normalised digit, which needs no finding.
    """
    boxes, scores = found.boxes[0], found.scores[0]
    alone = (torch.arange(len(scores), device=scores.device) == 0).float()
    scores = torch.where(kept, alone, scores)
    order = (scores * boxes[:, 2:].amax(dim=1).clamp(min=1e-6).sqrt()).topk(len(scores)).indices
    count: int = (scores > 0).sum().clamp(min=1).item()  # type: ignore[assignment]  # an export cannot follow int()
    torch._check(count >= 1)  # noqa: SLF001  the export's documented way to be told
    torch._check(count <= len(scores))  # noqa: SLF001
    return boxes[order][:count], scores[order][:count]


def refine(look: Look, boxes: Tensor, frames: Tensor) -> Tensor:
    """The digit's box (K, 4) in pixels of a look at its window; what was known of it where the look sees none in the middle."""
    best = score_cells(look.digits)
    centre = (look.boxes[:, :2] - SIDE / 2).abs().amax(dim=1) < NEARBY * SIDE
    score, cell = torch.where(centre, best, 0.0).flatten(1).max(dim=1)
    seen = look.boxes.flatten(2).gather(2, cell[:, None, None].expand(-1, 4, 1)).squeeze(2)
    return torch.where((score >= WEAK).unsqueeze(1), seen, in_window(boxes, frames))


def normalised(picture: Tensor) -> Tensor:
    """The top left 28×28 of a picture's (1, 3, H, W) first channel, as it is; black for any other size: (28, 28)."""
    width, height = extent(picture)
    padded = F.pad(picture[0, 0], (0, GLYPH, 0, GLYPH))
    return padded[:GLYPH, :GLYPH] * ((height == GLYPH) & (width == GLYPH))


def bounds(grey: Tensor) -> Tensor:
    """Centre in x and y, width and height of what is not 0 in (1, h, w), in its pixels: (1, 4)."""
    (left, right), (top, bottom) = _ends((grey > 0).any(dim=1)), _ends((grey > 0).any(dim=2))
    return torch.stack(((left + right) / 2, (top + bottom) / 2, right - left, bottom - top), dim=1)


def is_normalised(picture: Tensor) -> Tensor:
    """Whether a picture (1, 3, H, W) already is a digit as MNIST has them, or a glyph of ours, by what placing leaves: () bool.

    28×28, grey, a dark border, the ink's longer side 19 to 22, its centre of mass within one pixel of the middle. Source:
    LeCun, Cortes, Burges, The MNIST database of handwritten digits, http://yann.lecun.com/exdb/mnist/.
    """
    grey = normalised(picture)
    seen = grey > 0
    (left, right), (top, bottom) = _ends(seen.any(dim=0)[None]), _ends(seen.any(dim=1)[None])
    longer = torch.maximum(right - left, bottom - top)
    x, y = _centre(grey.sum(dim=0)[None]), _centre(grey.sum(dim=1)[None])
    border = torch.cat((grey[0], grey[-1], grey[:, 0], grey[:, -1])).mean()
    same = (picture == picture[:, :1]).all()
    middle = torch.maximum((x - CENTRE).abs(), (y - CENTRE).abs()) <= 1
    return same & (border <= DARK_BORDER) & ((longer >= BOX - 1) & (longer <= BOX + FRINGE) & middle).squeeze(0)
