"""Squares of a picture at one size, as tensors, so that they can be exported; app.reading.find.window cuts the same by OpenCV.

    square ─► what of it lies in the picture ─► halved as often as it can be ─► interpolated ─► its border repeated

Pictures are (1, 3, H, W), RGB, whole numbers in 0..255.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from app.reading.find.window import FILL, HALVINGS, LEAST_SIDE
from training.learning.finder import SIDE

UNIT = 2048  # a weight of 1, as OpenCV has it, which interpolates in whole numbers


class Windows(NamedTuple):
    """pixels: (K, 3, SIDE, SIDE), whole numbers; frames: (K, 4), where each window's corner lies, and its pixels' size.

    A frame is x, y, across and down: a place in the window, times across and down, plus x and y is that in the picture.
    """

    pixels: Tensor
    frames: Tensor


class _Part(NamedTuple):
    """How an axis of each window is cut, (K,) each, in whole numbers.

    start, length: what of the picture is shown; first, size: where in the window it is.
    """

    start: Tensor
    length: Tensor
    first: Tensor
    size: Tensor


def extent(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height of a picture (1, 3, H, W), as tensors, so that an export does not take them for constants: () each."""
    return torch.ones_like(picture[0, 0, 0]).sum(), torch.ones_like(picture[0, 0, :, 0]).sum()


def whole(picture: Tensor) -> Tensor:
    """The square (1, 3) around all of a picture, as cut wants it: left, top and side."""
    width, height = extent(picture)
    side = torch.maximum(width, height)
    return torch.stack((((width - side) / 2).floor(), ((height - side) / 2).floor(), side)).unsqueeze(0)


def around(boxes: Tensor) -> Tensor:
    """Squares (K, 3) in whose middle boxes (K, 4) lie, centre in x and y, width and height, and of which they fill FILL."""
    side = (boxes[:, 2:].amax(dim=1, keepdim=True) / FILL).round().clamp(min=LEAST_SIDE)
    return torch.cat(((boxes[:, :2] - side / 2).round(), side), dim=1)


def cut(picture: Tensor, squares: Tensor) -> Windows:
    """Squares (K, 3) of a picture, left, top and side in its whole pixels, brought to one size."""
    left, top, side = squares.unbind(dim=1)
    width, height = extent(picture)
    across, down = _part(left, side, width), _part(top, side, height)
    halvings = torch.stack([_can_halve(across, down, times) for times in range(HALVINGS)]).sum(dim=0)
    factor = 2**halvings
    columns, column_weights, x, step_x = _sample(across, factor)
    rows, row_weights, y, step_y = _sample(down, factor)
    places = rows.unsqueeze(2) * width + columns.unsqueeze(1) + (halvings * width * height)[:, None, None]
    levels = _halved(picture).permute(0, 2, 3, 1).flatten(0, 2)
    pixels = _interpolate(levels[places.long().flatten()].view(-1, 2 * SIDE, SIDE, 2, 3), column_weights, row_weights)
    return Windows(pixels.permute(0, 3, 1, 2), torch.stack((x, y, step_x, step_y), dim=1))


def _interpolate(samples: Tensor, column_weights: Tensor, row_weights: Tensor) -> Tensor:
    """Samples (K, 2 · SIDE, SIDE, 2, 3), weighed by (K, SIDE, 2) along each axis: (K, SIDE, SIDE, 3), to the bit as OpenCV.

    Products are cut off where OpenCV shifts them; of those down, float32 would not hold all digits.
    """
    in_rows = ((samples * column_weights[:, None, :, :, None]).sum(dim=3) / 16).floor().view(-1, SIDE, 2, SIDE, 3)
    weighed = (in_rows.double() * row_weights[:, :, :, None, None].double() / 2**16).floor().float()
    return ((weighed.sum(dim=2) + 2) / 4).floor()


def in_picture(boxes: Tensor, frames: Tensor) -> Tensor:
    """Boxes (K, 4) in pixels of windows of frames (1 or K, 4) -> in pixels of the picture."""
    return torch.cat((frames[:, :2] + boxes[:, :2] * frames[:, 2:], boxes[:, 2:] * frames[:, 2:]), dim=1)


def in_window(boxes: Tensor, frames: Tensor) -> Tensor:
    """The other way round."""
    return torch.cat(((boxes[:, :2] - frames[:, :2]) / frames[:, 2:], boxes[:, 2:] / frames[:, 2:]), dim=1)


def _part(start: Tensor, side: Tensor, size: Tensor) -> _Part:
    """What of ranges (K,) lies within 0 and size, at least one pixel, and where in the windows that is."""
    inside = torch.minimum(start.clamp(min=0), size - 1)
    end = torch.maximum(torch.minimum(start + side, size), inside + 1)
    step = side / SIDE
    first = ((inside - start) / step).round().clamp(0, SIDE - 1)
    return _Part(inside, end - inside, first, torch.minimum(((end - inside) / step).round().clamp(min=1), SIDE - first))


def _can_halve(across: _Part, down: _Part, times: int) -> Tensor:
    """Whether parts (K,) that were halved so many times can be halved again: 1 or 0."""
    blocks = float(2**times)
    wide, high = ((part.length / blocks).floor() >= 2 * part.size for part in (across, down))
    return (wide & high).float()


def _sample(part: _Part, factor: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two samples for each pixel of a window's axis, the first pixels of blocks of factor (K,) pixels.

    Their places in the picture (K, 2 · SIDE), their weights (K, SIDE, 2) of UNIT, the window's corner in the picture and its
    step (K,).
    """
    blocks, size = (part.length / factor).floor().unsqueeze(1), part.size.unsqueeze(1)
    pixels = torch.arange(SIDE, device=factor.device, dtype=torch.float32)
    shown = torch.minimum((pixels - part.first.unsqueeze(1)).clamp(min=0), size - 1)
    twice = (2 * shown + 1) * blocks - size  # the place, times twice the size: whole numbers, which are exact
    low = (twice / (2 * size)).floor()
    within = low + (twice - low * 2 * size) / (2 * size) - low  # with the digits that float32 has at that place
    both = torch.minimum(torch.stack((low, low + 1), dim=2).clamp(min=0), blocks.unsqueeze(2) - 1)
    places = part.start[:, None, None] + both * factor[:, None, None]
    weights = torch.stack(((1 - within) * UNIT, within * UNIT), dim=2).round()
    step = (blocks * factor.unsqueeze(1) / size).squeeze(1)
    return places.flatten(1), weights, part.start - part.first * step, step


def _halved(picture: Tensor) -> Tensor:
    """The means of the squares of 1, 2, 4 and 8 pixels a side that begin at each pixel, rounded: (HALVINGS + 1, 3, H, W)."""
    levels = [picture]
    for times in range(HALVINGS):
        by = 2**times
        wider = F.pad(levels[-1], (0, by, 0, by), mode="replicate")
        pairs = wider[..., :-by] + wider[..., by:]
        levels.append(((pairs[..., :-by, :] + pairs[..., by:, :]) / 4 + 0.5).floor())
    return torch.cat(levels)
