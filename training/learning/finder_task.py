"""The task of the finder: made scenes -> where their digits are and which pixels are ink."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.scenes import KIND_NAMES, SceneSet
from training.learning.config import TrainConfig
from training.learning.detections import Tally, count_found, detect
from training.learning.finder import FINDERS, see
from training.learning.finder_loss import EMPTY_SLOT, HEIGHT, LABEL, WIDTH, X, Y, finder_losses
from training.learning.task import Batch, Judgement, shuffle

CPU = torch.device("cpu")
BATCH = 200  # pictures that are judged at a time

ZOOM = 1.25  # most by which a scene is enlarged or reduced, anew in each epoch
STRETCH = 1.08  # most by which its sides are changed against each other
SHIFT = 0.08  # most by which it is moved, over its side
SWAPPED = 0.3  # share of scenes whose colours change places
NEGATIVE = 0.1  # share of scenes that become their negative


class FinderTask:
    """Learns made scenes, moved, enlarged and recoloured anew in each epoch."""

    def __init__(self, config: TrainConfig, scenes: SceneSet, validation: SceneSet, device: torch.device = CPU) -> None:
        """device: where scenes are distorted."""
        self._config, self._scenes, self._validation, self._device = config, scenes, validation, device

    def __len__(self) -> int:
        return len(self._scenes)

    def network(self) -> nn.Module:
        """The config's, with random weights."""
        return FINDERS[self._config.model]()

    def order(self, seed: int, epoch: int) -> Tensor:
        """All scenes, in a random order."""
        return shuffle(len(self), seed, epoch)

    def batch(self, index: Tensor, done: float) -> Batch:  # noqa: ARG002  # the same from beginning to end
        """Pictures (N, 3, S, S) in 0..255, ink (N, S/2, S/2) in 0..1, and objects (N, K, 5)."""
        return distort(*take(self._scenes, index, self._device))

    def losses(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """As finder_losses."""
        pixels, ink, objects = batch
        return finder_losses(model(pixels), ink, objects)

    def judge(self, network: nn.Module) -> Judgement:
        """Loss, and F1 of the digits: found, and told rightly."""
        judged = judge_scenes(network, self._validation)
        return Judgement(judged.loss, judged.f1)


def take(scenes: SceneSet, index: Tensor, device: torch.device = CPU) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (N, 3, S, S) float32 in 0..255, ink (N, S/2, S/2) in 0..1, objects (N, K, 5) of the scenes at index (N,)."""
    places = index.numpy()
    images, inks, objects = (_rows(array, places).to(device) for array in (scenes.images, scenes.inks, scenes.objects))
    return images.permute(0, 3, 1, 2).float(), inks.float() / 255, objects


def _rows(array: NDArray[Any], places: NDArray[np.int64]) -> Tensor:
    """Rows of an array that may lie on disk, read in the order in which they lie there."""
    order = np.argsort(places)
    rows = np.empty((len(places), *array.shape[1:]), array.dtype)
    rows[order] = array[places[order]]
    return torch.from_numpy(rows)


def distort(pixels: Tensor, ink: Tensor, objects: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moves and recolours scenes at random; what flows in from outside is the border again.

    Chance is drawn on the CPU, whatever the scenes' device, so that it is the same.
    """
    n, side, device = len(pixels), pixels.shape[-1], pixels.device
    scale = _spread(n, ZOOM).unsqueeze(1) * torch.cat((_spread(n, STRETCH).unsqueeze(1), torch.ones(n, 1)), dim=1)
    shift = (2 * torch.rand(n, 2) - 1) * 2 * SHIFT
    theta = torch.cat((torch.diag_embed(1 / scale), (-shift / scale).unsqueeze(2)), dim=2).to(device)
    pixels, ink = _sample(pixels, theta), _sample(ink.unsqueeze(1), theta).squeeze(1)
    return _recolour(pixels), ink, _move(objects, scale.to(device), shift.to(device), side)


def _spread(n: int, most: float) -> Tensor:
    """(N,): between 1/most and most, evenly in the logarithm."""
    return most ** (2 * torch.rand(n) - 1)


def _sample(pictures: Tensor, theta: Tensor) -> Tensor:
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _move(objects: Tensor, scale: Tensor, shift: Tensor, side: int) -> Tensor:
    """Objects where the pictures went: enlarged around the middle by scale (N, 2), moved by shift (N, 2) of half a side."""
    moved = objects.clone()
    middle = side / 2
    for axis, (place, size) in enumerate(((X, WIDTH), (Y, HEIGHT))):
        moved[..., place] = (objects[..., place] - middle) * scale[:, axis : axis + 1] + middle * (
            1 + shift[:, axis : axis + 1]
        )
        moved[..., size] = objects[..., size] * scale[:, axis : axis + 1]
    moved[..., LABEL] = torch.where(objects[..., LABEL] == EMPTY_SLOT, EMPTY_SLOT, objects[..., LABEL])
    return moved


def _recolour(pixels: Tensor) -> Tensor:
    n = len(pixels)
    order = torch.rand(n, 3).argsort(dim=1)
    order = torch.where(torch.rand(n, 1) < SWAPPED, order, torch.arange(3))
    pixels = pixels.gather(1, order[..., None, None].to(pixels.device).expand_as(pixels))
    return torch.where((torch.rand(n, 1, 1, 1) < NEGATIVE).to(pixels.device), 255 - pixels, pixels)


@dataclass(frozen=True)
class SceneFigures:
    """Of scenes: how many, their loss, and of their digits the shares found, found and told rightly; what was found besides.

    extra: over the number of scenes; overlap: mean intersection over union of the found ones' boxes; ink: of all ink.
    """

    scenes: int
    loss: float
    digits: int
    found: float
    told: float
    extra: float
    overlap: float
    ink: float
    f1: float


@torch.inference_mode()
def judge_scenes(network: nn.Module, scenes: SceneSet) -> SceneFigures:
    """The network's figures on all of the scenes."""
    return _figures(*_look_at_all(network, scenes))


@torch.inference_mode()
def judge_by_kind(network: nn.Module, scenes: SceneSet) -> dict[str, dict[str, float]]:
    """The figures of all scenes, of each kind, and of second looks."""
    losses, tally, inks = _look_at_all(network, scenes)
    result = {}
    for name, chosen in _groups(scenes).items():
        result[name] = asdict(_figures(losses[chosen], Tally(*(part[chosen] for part in tally)), inks[chosen]))
    return result


def _groups(scenes: SceneSet) -> dict[str, Tensor]:
    """Which scenes (N,) bool are of each kind, first looks and second ones apart, by name."""
    kinds, looks = torch.from_numpy(np.array(scenes.kinds)), torch.from_numpy(np.array(scenes.looks))
    first = {name: (kinds == number) & (looks == 1) for number, name in enumerate(KIND_NAMES)}
    groups = {"all": looks > 0, **first, "second look": looks == 2}
    return {name: chosen for name, chosen in groups.items() if chosen.any()}


def _look_at_all(network: nn.Module, scenes: SceneSet) -> tuple[Tensor, Tally, Tensor]:
    """Of each scene its loss (N,), what was found, and the ink that was both true and seen, either (N, 2)."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    losses, tallies, inks = [], [], []
    for index in torch.arange(len(scenes)).split(BATCH):
        pixels, ink, objects = take(scenes, index, device)
        maps = network(pixels.contiguous(memory_format=torch.channels_last))
        losses.append(finder_losses(maps, ink, objects)[0].cpu())
        look = see(maps)
        tallies.append(count_found(detect(look), objects))
        true, seen = ink > 0.5, look.ink > 0.5
        inks.append(torch.stack(((true & seen).sum(dim=(1, 2)), (true | seen).sum(dim=(1, 2))), dim=1).cpu())
    network.train(was_training)
    return torch.cat(losses), _join(tallies), torch.cat(inks)


def _join(tallies: Sequence[Tally]) -> Tally:
    return Tally(*(torch.cat(parts).cpu() for parts in zip(*tallies, strict=True)))


def _figures(losses: Tensor, tally: Tally, inks: Tensor) -> SceneFigures:
    true, found, told, extra, overlap = (float(part.sum()) for part in tally)
    both, either = inks.sum(dim=0).tolist()
    return SceneFigures(
        scenes=len(losses),
        loss=float(losses.mean()),
        digits=int(true),
        found=found / max(true, 1),
        told=told / max(true, 1),
        extra=extra / max(len(losses), 1),
        overlap=overlap / max(found, 1),
        ink=both / max(either, 1),
        f1=2 * told / max(true + found + extra, 1),
    )
