"""A finished run -> a candidate: complete as a version, but in a folder that no server loads.

candidates/digits-3/ is a model store of its own: digits/3, digits_uint8/3, and where it has a finder, digits_finder/3. Its
report.md says how it reads next to the version that is served. The gate alone moves it into the model store.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from app.reading.infer.store import StoredModel, find_model, versions
from training.data.mnist import Split
from training.errors import RunError
from training.files import write_json, write_text
from training.learning.checkpoints import load_checkpoint, load_config
from training.learning.networks import count_parameters
from training.publishing.calibrate import load_calibration
from training.publishing.finder_export import export_finder
from training.publishing.gate import Paired, Read, Samples, Verdict, compare, judge, report
from training.publishing.publish import LIBRARIES, NAME, commit, publish
from training.publishing.readers import by_networks, by_service

FINDER_NAME = f"{NAME}_finder"
REPORT = "report.md"
PROOFS = 4  # pictures that the finder's export is proven on, besides those of the tests

Sampling = Callable[[], Iterator[Samples]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Candidate:
    """folder: a model store of its own; number: of the version that it would be; has_finder: the service cannot read it yet."""

    folder: Path
    number: str
    has_finder: bool

    @property
    def title(self) -> str:
        """digits-3, say."""
        return f"{NAME}-{self.number}"

    @property
    def model(self) -> StoredModel:
        """Its classifier."""
        return find_model(self.folder, NAME, self.number)


def make_candidate(  # noqa: PLR0913, PLR0917
    run: Path, finder: Path | None, store: Path, candidates: Path, validation: Split, seeds: Sequence[Path]
) -> Candidate:
    """Puts a run, and the finder's that it belongs to, into candidates/NAME-NUMBER, in the place of what was there.

    Raises:
        RunError: a run was not trained to its end or not exported, or was trained with another finder.
        ExportError: as publish and export_finder.
    """
    number = str(max(map(int, versions(store, NAME)), default=0) + 1)
    folder = candidates / f"{NAME}-{number}"
    beside = candidates / f".{NAME}-{number}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        publish(run, beside, validation, seeds, number)
        if finder is not None:
            _add_finder(finder, beside / FINDER_NAME / number)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Candidate(folder, number, finder is not None)


def _add_finder(run: Path, folder: Path) -> None:
    if not (run / "metrics.json").is_file():
        raise RunError(f"{run / 'metrics.json'} is missing: train the finder to its end first.")
    folder.mkdir(parents=True)
    config = load_config(run)
    network = load_checkpoint(run / "model.pth", config.model)
    shutil.copyfile(run / "model.pth", folder / "finder.pth")
    pictures = torch.randint(256, (PROOFS, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    export_finder(network, pictures, folder / "model.onnx")
    record = {
        "architecture": config.model,
        "parameters": count_parameters(network),
        "commit": commit(),
        "config": asdict(config),
        "metrics": json.loads((run / "metrics.json").read_text(encoding="utf-8")),
        "libraries": {name: version(name) for name in LIBRARIES},
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())},
    }
    write_json(folder / "finder.json", record)


def read_candidate(candidate: Candidate, run: Path, finder: Path | None) -> Read:
    """The candidate as the gate asks it."""
    if finder is None:
        return by_service(candidate.model)
    networks = [load_checkpoint(each / "model.pth", load_config(each).model) for each in (finder, run)]
    return by_networks(networks[0], networks[1], load_calibration(run))


def weigh(candidate: Candidate, read: Read, store: Path, samples: Sampling, say: Say) -> Verdict:
    """Compares a candidate with the latest version in the store, and writes its report; without such a version it passes."""
    if not versions(store, NAME):
        return Verdict(True, "there is no version yet")
    served = find_model(store, NAME, "latest")
    results: dict[str, Paired] = {}
    served_reads = by_service(served)
    for each in samples():
        results[each.name] = result = compare(each, read, served_reads)
        say(f"{each.name}: {result.candidate} of {result.of} by {candidate.title}, {result.served} by {served.title}")
    verdict = judge(results)
    write_text(candidate.folder / REPORT, report(results, candidate.title, served.title, verdict))
    write_json(candidate.folder / "report.json", _figures(results))
    return verdict


def _figures(results: Mapping[str, Paired]) -> dict[str, object]:
    return {name: asdict(result) | {"interval": result.interval, "chance": result.chance} for name, result in results.items()}


def decide(candidate: Candidate, verdict: Verdict, force: str | None) -> Verdict:
    """The verdict, unless the candidate is forced by its name, or has a finder, which the service cannot read yet.

    Raises:
        RunError: another name is forced.
    """
    if force is not None and force != candidate.title:
        raise RunError(f"The candidate is {candidate.title}, not {force}. Only its own name forces it.")
    if candidate.has_finder:
        return Verdict(False, f"the service cannot read versions with a finder yet; {verdict.reason}")
    return Verdict(True, f"forced, though {verdict.reason}") if force and not verdict.passes else verdict


def promote(candidate: Candidate, store: Path) -> Path:
    """Moves a candidate's version into the store, the classifier's folder last; returns it."""
    families = sorted((each for each in candidate.folder.iterdir() if each.is_dir()), key=lambda each: each.name == NAME)
    for family in families:
        target = store / family.name
        target.mkdir(parents=True, exist_ok=True)
        for file in family.iterdir():
            if file.is_file():
                shutil.copyfile(file, target / file.name)
        beside = target / f".{candidate.number}.partial"
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(family / candidate.number, beside)
        beside.rename(target / candidate.number)
    shutil.rmtree(candidate.folder)
    return store / NAME / candidate.number
