"""The finder: a small fully convolutional network that sees where each digit is, and which pixels are its ink."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.mnist import CLASSES

MARKS = ("point", "comma", "minus", "other")  # told apart from digits, in the order of their maps
SIDE = 96  # pixels; the longer side of what it looks at, of a multiple of STEP
STEP = 16  # pixels; what each side of the input must be a multiple of
CELL = 4  # pixels; the side of a cell of the maps of digits, marks and boxes
BOX = 4  # what a box's cell holds: offset of the centre in x and y, in cells, and the logarithms of width and height in cells
WIDTHS = (16, 32, 64, 96)  # channels at 1/2, 1/4, 1/8 and 1/16 of the size: multiples of what a CPU's vectors hold

SAMPLED = 48  # a side of the sample that a picture's ground and contrast are told by
BLOCK = 4  # samples; the side of the blocks whose median is the ground
BRIGHTEST = 8  # samples: the contrast is that of the eighth most deviant of 48 × 48, 99.65 % of which deviate less
FAINTEST = 10.0  # grey levels of 255; a lower contrast is not amplified further, since it is noise

RARE = -4.0  # first logit of a digit's centre: few cells are one (focal loss: Lin et al. 2017, arXiv:1708.02002)
USUAL_SIZE = 1.8  # first logarithm of a box's side in cells: 6 cells, a quarter of the picture


class Maps(NamedTuple):
    """What the network gives, as logits.

    ink: (N, 1, H/2, W/2); classes: (N, 14, H/4, W/4), ten digits and the MARKS; boxes: (N, 4, H/4, W/4), as BOX says.
    """

    ink: Tensor
    classes: Tensor
    boxes: Tensor


class Look(NamedTuple):
    """What one look at pictures (N, 3, H, W) saw.

    ink: (N, H/2, W/2) in 0..1; digits: (N, 10, H/4, W/4) in 0..1, high where one of that label has its centre; marks: the
    same, (N, 4, H/4, W/4), in the order of MARKS; boxes: (N, 4, H/4, W/4), of what has its centre in the cell, as centre
    in x, centre in y, width and height, in pixels of the input.
    """

    ink: Tensor
    digits: Tensor
    marks: Tensor
    boxes: Tensor


class Levelled(nn.Module):
    """Brings pictures to one ground and one contrast, whatever their light: each minus its ground, over its contrast.

    The ground is a channel's median over blocks of a sample, the contrast the deviation that few samples exceed. Samples keep
    sorting cheap, and their number does not grow with the picture.
    """

    def forward(self, pixels: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in 0..255 of any type -> float32, about -1..1."""
        pictures = pixels.float()
        sample = F.interpolate(pictures, size=(SAMPLED, SAMPLED), mode="bilinear", align_corners=False)
        blocks = F.avg_pool2d(sample, BLOCK).flatten(2)
        ground = blocks.topk(blocks.shape[-1] // 2, dim=2).values[..., -1:].unsqueeze(-1)
        deviation = (sample - ground).abs().amax(dim=1).flatten(1)
        contrast = deviation.topk(BRIGHTEST, dim=1).values[:, -1:].clamp(min=FAINTEST)
        return (pictures - ground) / contrast[..., None, None]


class Finder(nn.Module):
    """A U-Net (Ronneberger et al. 2015, arXiv:1505.04597) down to a sixteenth and up to a quarter of the picture's size.

    Its blocks are depthwise and pointwise convolutions (Howard et al. 2017, arXiv:1704.04861). Digits are found as in CenterNet
    (Zhou et al. 2019, arXiv:1904.07850); ink is written at half size, four pixels a cell (Shi et al. 2016, arXiv:1609.05158).
    """

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        half, quarter, eighth, least = widths
        self.level = Levelled()
        self.to_half = _convolution(3, half, stride=2)
        self.to_quarter = nn.Sequential(_convolution(half, quarter, stride=2), *_blocks(quarter, 1))
        self.to_eighth = nn.Sequential(_convolution(quarter, eighth, stride=2), *_blocks(eighth, 2))
        self.to_least = nn.Sequential(
            _convolution(eighth, eighth, stride=2, groups=eighth), _convolution(eighth, least, size=1), *_blocks(least, 3)
        )
        self.up_eighth, self.join_eighth = _convolution(least, eighth, size=1), nn.Sequential(*_blocks(eighth, 2))
        self.up_quarter, self.join_quarter = _convolution(eighth, quarter, size=1), nn.Sequential(*_blocks(quarter, 3))
        self.parts = (CELL // 2) ** 2, CLASSES + len(MARKS), BOX
        self.answer = nn.Conv2d(quarter, sum(self.parts), kernel_size=1)
        self._expect()

    def forward(self, pixels: Tensor) -> Maps:
        """Pictures (N, 3, H, W) in 0..255, RGB, sides multiples of STEP -> logits."""
        quarter = self.to_quarter(self.to_half(self.level(pixels)))
        eighth = self.to_eighth(quarter)
        least = self.to_least(eighth)
        eighth = self.join_eighth(eighth + _double(self.up_eighth(least)))
        quarter = self.join_quarter(quarter + _double(self.up_quarter(eighth)))
        ink, classes, boxes = self.answer(quarter).split(self.parts, dim=1)
        return Maps(F.pixel_shuffle(ink, CELL // 2), classes, boxes)

    def _expect(self) -> None:
        ink, classes, _ = self.parts
        expected = torch.zeros(sum(self.parts))
        expected[ink : ink + classes] = RARE
        expected[ink + classes + 2 :] = USUAL_SIZE
        self.answer.bias = nn.Parameter(expected)


class Looking(nn.Module):
    """A finder that answers what it saw; this is what is exported."""

    def __init__(self, finder: nn.Module) -> None:
        super().__init__()
        self.finder = finder

    def forward(self, pixels: Tensor) -> Look:
        """Pictures (N, 3, H, W) in 0..255, RGB, sides multiples of STEP -> what was seen."""
        return see(self.finder(pixels))


def see(maps: Maps) -> Look:
    """What logits say."""
    classes = maps.classes.sigmoid()
    height, width = maps.boxes.shape[-2:]
    across = torch.arange(width, device=maps.boxes.device, dtype=torch.float32)
    down = torch.arange(height, device=maps.boxes.device, dtype=torch.float32).unsqueeze(1)
    x, y, log_width, log_height = maps.boxes.unbind(dim=1)
    centre_x, centre_y = (x + across + 0.5) * CELL, (y + down + 0.5) * CELL
    boxes = torch.stack((centre_x, centre_y, log_width.exp() * CELL, log_height.exp() * CELL), dim=1)
    return Look(maps.ink.squeeze(1).sigmoid(), classes[:, :CLASSES], classes[:, CLASSES:], boxes)


def _convolution(inputs: int, outputs: int, *, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class _Block(nn.Module):
    """A convolution of each channel by itself, then one across channels, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.each = _convolution(width, width, groups=width)
        self.across = nn.Sequential(nn.Conv2d(width, width, kernel_size=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, h, w) -> the same shape."""
        return F.relu(x + self.across(self.each(x)))


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [_Block(width) for _ in range(count)]


def _double(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")


FINDERS: dict[str, Callable[[], nn.Module]] = {
    "finder": Finder,  # 96,710 parameters
    "finder-narrow": partial(Finder, (16, 16, 32, 64)),
    "finder-wide": partial(Finder, (16, 48, 96, 128)),
}
