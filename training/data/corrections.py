"""Reviewed corrections as glyphs to learn from and to judge by, so that no client gets a say beyond its share."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path

import numpy as np
import torch

from app.corrections.entry import Corrected, to_pairs
from app.corrections.folder import is_export, read_folder
from app.corrections.journal import FILE, Journal
from app.errors import LabelsError, StartupError
from app.settings import Settings
from training.data.mnist import BACKGROUND, Split
from training.errors import DataError

LEAST = 50  # corrections that are worth learning from
HELD_CLIENTS = 0.1  # of the clients are held out as a whole
HELD_GLYPHS = 0.2  # of the other clients' glyphs are held out: 28 % in all where there are many clients, 20 % with a few
MOST_OF_CLIENT = 0.25  # of what all corrections together weigh
REPEATS = 10  # times that a glyph comes in an epoch at most


@dataclass(frozen=True)
class LabelledGlyph:
    """A glyph, (28, 28) uint8 as bytes, and what a client says that it shows: a digit, or BACKGROUND."""

    glyph: bytes
    label: int
    client: str
    sent: float


@dataclass(frozen=True)
class CorrectionData:
    """Corrections to learn from, by client, and those that the gate judges by; contradictory: glyphs that were set aside."""

    by_client: Mapping[str, Split]
    held: Split
    contradictory: int

    @property
    def digest(self) -> str:
        """A digest of what is learned, and of what is held out."""
        sha = sha256()
        for name, split in (*self.by_client.items(), ("", self.held)):
            sha.update(f"{name} {split.labels.tolist()} ".encode() + split.images.numpy().tobytes())
        return sha.hexdigest()[:16]

    def weights(self, total: int) -> dict[str, int]:
        """How many glyphs an epoch takes of each client, of at most so many of all: none beyond MOST_OF_CLIENT."""
        glyphs = sum(map(len, self.by_client.values()))
        shares = {client: min(len(split) / glyphs, MOST_OF_CLIENT) for client, split in self.by_client.items()}
        return {client: min(round(total * share), REPEATS * len(self.by_client[client])) for client, share in shares.items()}


def load_corrections(source: Path | None, settings: Settings) -> list[Corrected]:
    """The accepted corrections of an export, of a service's data folder, or of the database that the settings name.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    try:
        if source is not None and is_export(source):
            return [each for each in read_folder(source) if each.correction.status == "accepted"]
        if source is not None:
            settings = settings.model_copy(update={"data_dir": source, "database_url": None})
        if not settings.database_url and not (settings.data_dir and (settings.data_dir / FILE).is_file()):
            raise DataError(
                f"There are no corrections in {settings.data_dir}: name the service's data folder by --corrections."
            )
        journal = Journal.open(settings)
        try:
            return journal.corrected("accepted", oldest_first=True)
        finally:
            journal.close()
    except (LabelsError, StartupError) as error:
        raise DataError(str(error)) from error


def to_lessons(corrected: Sequence[Corrected]) -> CorrectionData:
    """Corrections, split as split says into what is learned, by client, and what is held out.

    Glyphs that are said to show different things are set aside, and none is both learned and held out.

    Raises:
        DataError: there are fewer than LEAST that can be learned from.
    """
    usable = [each for each in corrected if to_pairs(each)]
    if len(usable) < LEAST:
        missing = LEAST - len(usable)
        raise DataError(f"{len(usable)} corrections were accepted and can be learned from; {missing} are missing to {LEAST}.")
    said = [each for one in usable for each in _said(one)]
    clear = set_contradictions_aside(said)
    learned, held = split(clear)
    known = {each.glyph for each in learned}
    held = list({each.glyph: each for each in held if each.glyph not in known}.values())  # each counts once, whoever sent it
    if not learned or not held:
        raise DataError(
            "Too few corrections differ and do not contradict each other: nothing can be both learned and held out."
        )
    by_client = {client: _to_split(each) for client, each in sorted(_by_client(learned).items())}
    return CorrectionData(by_client, _to_split(held), len(said) - len(clear))


def set_contradictions_aside(said: Sequence[LabelledGlyph]) -> list[LabelledGlyph]:
    """Those whose glyph nobody says something else of, each once for each client, as it was first sent."""
    labels: dict[bytes, set[int]] = defaultdict(set)
    for each in said:
        labels[each.glyph].add(each.label)
    once: dict[tuple[bytes, str], LabelledGlyph] = {}
    for each in sorted(said, key=lambda each: each.sent):
        if len(labels[each.glyph]) == 1:
            once.setdefault((each.glyph, each.client), each)
    return list(once.values())


def split(said: Sequence[LabelledGlyph]) -> tuple[list[LabelledGlyph], list[LabelledGlyph]]:
    """What is learned and what is held out: all glyphs of HELD_CLIENTS of the clients, and HELD_GLYPHS of each other client's.

    Digests of the client's name and of the glyph decide, and nothing else. So no round holds out what an earlier one has
    learned, whatever was sent, corrected again or deleted in between. There is one exception: if all clients are held out as a
    whole, their glyphs are split like those of the others, since nothing could be learned otherwise.
    """
    whole = {each.client for each in said if is_held_out(each.client)}
    if all(each.client in whole for each in said):
        whole = set()
    learned: list[LabelledGlyph] = []
    held: list[LabelledGlyph] = []
    for each in said:
        side = held if each.client in whole or _fraction(each.glyph) < HELD_GLYPHS else learned
        side.append(each)
    return learned, held


def is_held_out(client: str) -> bool:
    """Whether a client is one of those that are held out as a whole."""
    return _fraction(client.encode()) < HELD_CLIENTS


def _fraction(data: bytes) -> float:
    """A digest as a number from 0 to 1, evenly spread."""
    return int.from_bytes(blake2b(data, digest_size=8).digest()) / 2**64


def _said(corrected: Corrected) -> Iterable[LabelledGlyph]:
    for glyph, label in to_pairs(corrected):
        shown = BACKGROUND if label is None else label
        yield LabelledGlyph(glyph.tobytes(), shown, corrected.entry.client, corrected.correction.sent)


def _by_client(said: Iterable[LabelledGlyph]) -> dict[str, list[LabelledGlyph]]:
    clients: dict[str, list[LabelledGlyph]] = defaultdict(list)
    for each in said:
        clients[each.client].append(each)
    return clients


def _to_split(said: Sequence[LabelledGlyph]) -> Split:
    images = np.stack([np.frombuffer(each.glyph, np.uint8).reshape(28, 28) for each in said])
    return Split(torch.from_numpy(images), torch.tensor([each.label for each in said]))
