"""The whole way from a picture to an answer, as torch modules whose export is what is served.

picture ─► window (all of it) ─► look ─► detect ─► window (around each small digit) ─► look ─► glyph ─► normalise ─► classify

Pictures are (1, 3, H, W), RGB in 0..255; glyphs (K, 28, 28) in 0..255. What is done elsewhere by other means, for speed, is
tested against these.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.mnist import CLASSES, MEAN, STD
from training.learning.detections import LEAST, Detections, detect, score_cells
from training.learning.finder import CELL, SIDE, Look, Looking

MOST = 64  # digits a picture
FILL = 0.62  # of a window's side, by the digit's longer one
LARGE = 40.0  # pixels of a look: a digit whose longer side is as long is not looked at again
NEARBY = 0.25  # of a window: the digit's centre lies so close to its middle, in both axes
WEAK = 0.05  # score that is enough in a window, where it is known that there is something
ROOM = 1.16  # a box is widened to so much of itself, and by a pixel of ink, before ink outside of it goes

SUBSAMPLES = 4  # a side: what a pixel is the mean of where a picture is reduced
FINE = 3  # times that ink is enlarged before its bounds are taken
FAINT = 0.15  # of full ink: less is ground
VISIBLE = 0.3  # of full ink: a digit without a pixel of it is none
GLYPH, BOX, CENTRE = 28, 20, 14.5  # a glyph's side, its ink's longer side, and where its centre of mass lies, as in MNIST
DARK_BORDER = 16.0  # most mean of a normalised digit's border; MNIST's training set: at most 8.4


class Answer(NamedTuple):
    """What a picture's digits are, best first, in as many places as there may be.

    boxes: (K, 4), centre in x and y, width and height, in pixels of the picture; scores: (K,) in 0..1, 0 where there is no
    digit; glyphs: (K, 28, 28) in 0..255; logits: (K, 10); none: (K,), the logit of no digit.
    """

    boxes: Tensor
    scores: Tensor
    glyphs: Tensor
    logits: Tensor
    none: Tensor


def window(picture: Tensor, boxes: Tensor, side: int = SIDE) -> Tensor:
    """Squares of a picture, brought to one size: (K, 3, side, side).

    picture: (1, 3, H, W); boxes: (K, 3), centre in x and y and side in pixels of the picture. Outside of it its border goes
    on. Where pixels are reduced, each is the mean of several samples spread over what it covers; each sample is bilinear.
    Levels are whole, as a picture's are.
    """
    width, height = extent(picture)
    x, y, length = boxes.unbind(dim=1)
    step = length / side  # pixels of the picture a pixel of the window
    offsets = _places(side, step)  # (K, side · SUBSAMPLES), pixels from the window's middle
    column = (x.unsqueeze(1) + offsets) * (2 / width) - 1
    row = (y.unsqueeze(1) + offsets) * (2 / height) - 1
    return _sample(picture.expand(len(boxes), -1, -1, -1), column, row, "border").round()


def _places(side: int, step: Tensor) -> Tensor:
    """Where to sample on an axis: (K, side · SUBSAMPLES), from the middle, for steps (K,) between pixels.

    A bilinear sample already is a mean over one pixel's width to either side, so samples spread over the step less one.
    """
    pixels = torch.arange(side, device=step.device, dtype=torch.float32) + (0.5 - side / 2)
    within = (torch.arange(SUBSAMPLES, device=step.device, dtype=torch.float32) + 0.5) / SUBSAMPLES - 0.5
    spread = (step - 1).clamp(min=0)
    return (pixels[:, None] * step[:, None, None] + within * spread[:, None, None]).flatten(1)


def _sample(pictures: Tensor, column: Tensor, row: Tensor, outside: str) -> Tensor:
    """Pictures (K, C, H, W) at columns and rows (K, S · SUBSAMPLES) in grid_sample's units, averaged to (K, C, S, S)."""
    size = (-1, row.shape[1], column.shape[1])
    grid = torch.stack((column.unsqueeze(1).expand(size), row.unsqueeze(2).expand(size)), dim=3)
    sampled = F.grid_sample(pictures, grid, mode="bilinear", padding_mode=outside, align_corners=False)
    return F.avg_pool2d(sampled, SUBSAMPLES)


def whole(picture: Tensor) -> Tensor:
    """The square (1, 3) around all of a picture (1, 3, H, W), as window wants it."""
    width, height = extent(picture)
    return torch.stack((width / 2, height / 2, torch.maximum(width, height))).unsqueeze(0)


def extent(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height of a picture (1, 3, H, W), as tensors, so that an export does not take them for constants: () each."""
    return torch.ones_like(picture[0, 0, 0]).sum(), torch.ones_like(picture[0, 0, :, 0]).sum()


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
    x = _start(_centre(levels.sum(dim=1)), left, right, step)
    y = _start(_centre(levels.sum(dim=2)), top, bottom, step)
    offsets = _places(GLYPH, step) + (GLYPH / 2) * step[:, None]
    column = (x[:, None] + offsets) * (2 / levels.shape[2]) - 1
    row = (y[:, None] + offsets) * (2 / levels.shape[1]) - 1
    small = _sample(levels.unsqueeze(1), column, row, "zeros").squeeze(1)
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


def _start(centre: Tensor, first: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """Where a glyph begins so that the centre of mass lies at CENTRE, but all ink inside of it."""
    start = centre - CENTRE * step
    return torch.minimum(torch.maximum(start, end - GLYPH * step), first)


class Classifying(nn.Module):
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
        self.look, self.classify = Looking(finder), Classifying(classifier)
        self.most = most

    def forward(self, pixels: Tensor) -> Answer:
        """One picture (H, W, 3) uint8 -> its digits, best first."""
        picture = pixels.permute(2, 0, 1).unsqueeze(0).float()
        square = whole(picture)
        found = self.find(picture, square, self.most)
        glyphs, boxes, scores = self.glyphs(picture, square, found)
        logits, none = self.classify(glyphs)
        return Answer(boxes, scores, glyphs, logits, none)

    def find(self, picture: Tensor, square: Tensor, most: int) -> tuple[Look, Detections]:
        """The first look, at a square (1, 3) of a picture (1, 3, H, W), and the digits in it."""
        look: Look = self.look(window(picture, square))
        return look, detect(look, most, LEAST)

    def glyphs(self, picture: Tensor, square: Tensor, found: tuple[Look, Detections]) -> tuple[Tensor, Tensor, Tensor]:
        """Glyphs (K, 28, 28) and boxes (K, 4) in pixels of the picture, of what a look found; scores (K,), 0 without ink."""
        look, detections = found
        boxes, scores = detections.boxes[0], detections.scores[0]
        large = boxes[:, 2:].amax(dim=1) >= LARGE
        first = cut_glyphs(look.ink.expand(len(boxes), -1, -1), boxes)
        place = in_picture(boxes, square)
        again = around(place)
        closer: Look = self.look(window(picture, again))
        own = refine(closer, place, again)
        second = cut_glyphs(closer.ink, own)
        glyphs = torch.where(large[:, None, None], first, second)
        place = torch.where(large.unsqueeze(1), place, in_picture(own, again))
        normal = normalised(picture).unsqueeze(0)
        glyphs = torch.where(is_normalised(picture), normal.expand_as(glyphs), glyphs)
        return glyphs, place, torch.where(glyphs.amax(dim=(1, 2)) > 0, scores, 0.0)


def in_picture(boxes: Tensor, squares: Tensor) -> Tensor:
    """Boxes (K, 4) in pixels of looks at squares (1 or K, 3) -> in pixels of the picture."""
    scale = squares[:, 2:] / SIDE
    return torch.cat((squares[:, :2] + (boxes[:, :2] - SIDE / 2) * scale, boxes[:, 2:] * scale), dim=1)


def in_look(boxes: Tensor, squares: Tensor) -> Tensor:
    """The other way round."""
    scale = SIDE / squares[:, 2:]
    return torch.cat(((boxes[:, :2] - squares[:, :2]) * scale + SIDE / 2, boxes[:, 2:] * scale), dim=1)


def around(boxes: Tensor) -> Tensor:
    """Squares (K, 3) in whose middle boxes (K, 4) lie and of which they fill FILL."""
    side = (boxes[:, 2:].amax(dim=1, keepdim=True) / FILL).clamp(min=8)
    return torch.cat((boxes[:, :2], side), dim=1)


def refine(look: Look, boxes: Tensor, squares: Tensor) -> Tensor:
    """The digit's box (K, 4) in pixels of a look at its window; what was known of it where the look sees none in the middle."""
    best = score_cells(look.digits)
    centre = (look.boxes[:, :2] - SIDE / 2).abs().amax(dim=1) < NEARBY * SIDE
    score, cell = torch.where(centre, best, 0.0).flatten(1).max(dim=1)
    seen = look.boxes.flatten(2).gather(2, cell[:, None, None].expand(-1, 4, 1)).squeeze(2)
    return torch.where((score >= WEAK).unsqueeze(1), seen, in_look(boxes, squares))


def normalised(picture: Tensor) -> Tensor:
    """The top left 28×28 of a picture's (1, 3, H, W) first channel, as it is; black for any other size: (28, 28)."""
    width, height = extent(picture)
    padded = F.pad(picture[0, 0], (0, GLYPH, 0, GLYPH))
    return padded[:GLYPH, :GLYPH] * ((height == GLYPH) & (width == GLYPH))


def is_normalised(picture: Tensor) -> Tensor:
    """Whether a picture (1, 3, H, W) already is a digit as MNIST has them, by what NIST's normalisation leaves: () bool.

    28×28, grey, a dark border, the ink's longer side 19 or 20, its centre of mass within one pixel of the middle. Source:
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
    return same & (border <= DARK_BORDER) & ((longer >= BOX - 1) & (longer <= BOX) & middle).squeeze(0)
