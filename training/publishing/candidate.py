"""A finished run -> a candidate: complete as a version, but in a folder that no server loads.

candidates/digits-4/ is a model store of its own: digits/4, digits_finder/4, digits_uint8/4 and digits_reader/4. Its report.md
says how it reads next to the version that is served. The gate, or somebody who names it, moves it into the model store;
another step makes it the version that is served.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from app.errors import StartupError
from app.reading.infer.record import FOLDERS, StringWeights
from app.reading.infer.store import RECORD, SERVED, StoredModel, find_model, versions
from training.data.mnist import Split
from training.errors import RunError
from training.files import write_json, write_text
from training.publishing.gate import Comparison, Paired, Read, Samples, Verdict, compare, judge, report
from training.publishing.publish import NAME, REPORT, Finder, complete, write_version
from training.publishing.readers import Say, by_classifier, by_rows, by_service
from training.publishing.triton import CONFIG, write_configs

FIGURES = "report.json"  # of the report

Sampling = Callable[[], Iterator[Samples]]


@dataclass(frozen=True)
class Candidate:
    """folder: a model store of its own; number: of the version that it would be."""

    folder: Path
    number: str

    @classmethod
    def open(cls, folder: Path) -> "Candidate":
        """The candidate in a folder.

        Raises:
            RunError: there is none, or it is a store that serves a version.
        """
        found = versions(folder, NAME)
        if len(found) != 1:
            raise RunError(f"{folder} is not a candidate: it has {len(found)} versions of {NAME}.")
        if (folder / NAME / SERVED).exists():
            raise RunError(f"{folder} is a model store, not a candidate: {folder / NAME / SERVED} says what it serves.")
        return cls(folder, found[0])

    @property
    def title(self) -> str:
        """digits-4, say."""
        return f"{NAME}-{self.number}"

    @property
    def model(self) -> StoredModel:
        """Its version.

        Raises:
            StartupError: it is not complete.
        """
        return find_model(self.folder, NAME, self.number)


def choose_finder(folder: Path | None, store: Path) -> Finder:
    """The finder of that run or version; where none is named, the served version's.

    Raises:
        RunError: the run was not trained to its end; or none is named, and there is no served version with a checkpoint.
        StartupError: the version that is named cannot be read.
    """
    if folder is not None and (folder / RECORD).is_file():
        return Finder.of_version(find_model(folder.parent.parent, folder.parent.name, folder.name))
    if folder is not None:
        return Finder.of_run(folder)
    try:
        served = find_model(store, NAME, SERVED)
    except StartupError as error:
        raise RunError(f"A version needs a finder: name a finder's run by --finder. There is no other: {error}") from error
    return Finder.of_version(served)


def make_candidate(  # noqa: PLR0913, PLR0917
    run: Path, finder: Finder, store: Path, candidates: Path, validation: Split, seeds: Sequence[Path]
) -> Candidate:
    """Puts a run and a finder into candidates/NAME-NUMBER, all or nothing, in the place of what was there.

    Raises:
        RunError: as write_version.
        ExportError: as write_version.
    """
    number = str(max(map(int, versions(store, NAME)), default=0) + 1)
    folder = candidates / f"{NAME}-{number}"
    partial = candidates / f".{NAME}-{number}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        write_version(run, finder, partial, number, validation, seeds)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Candidate(folder, number)


def weigh(candidate: Candidate, store: Path, samples: Sampling, say: Say, wanted: str | None = None) -> Verdict:
    """Compares a candidate with the served version, and writes its report; in a store without a version, it passes.

    wanted: as the gate's judge has it.

    Raises:
        RunError: the store has versions, but the served one cannot be read.
        StartupError: the candidate cannot.
    """
    if not versions(store, NAME) and not (store / NAME / SERVED).exists():
        return Verdict(True, f"there is nothing to compare it with: {store} has no version of {NAME}")
    served, served_reads = _open_served(candidate, store)
    reads = Reads.of(candidate.model, served.record.strings)
    results: dict[str, Comparison] = {}
    for each in samples():
        name = _name_apart(each.name, results)
        results[name] = result = compare(each, reads.which(each), served_reads.which(each))
        read = result.read
        say(f"{name}: {read.candidate} of {read.of} by {candidate.title}, {read.served} by {served.title}")
    verdict = judge(results, wanted)
    write_text(candidate.folder / REPORT, report(results, candidate.title, served.title, verdict))
    write_json(candidate.folder / FIGURES, _figures(results))
    return verdict


@dataclass(frozen=True)
class Reads:
    """How a version is asked: about pictures and rows as the service reads them, about glyphs without a finder."""

    pictures: Read
    glyphs: Read
    rows: Read

    @classmethod
    def of(cls, model: StoredModel, strings: StringWeights) -> "Reads":
        """Those of a version. strings: how it weighs the evidence of a row.

        Raises:
            StartupError: it cannot be read.
        """
        return cls(by_service(model), by_classifier(model), by_rows(model, strings))

    def which(self, samples: Samples) -> Read:
        """That by which samples are read."""
        return {"picture": self.pictures, "glyph": self.glyphs, "row": self.rows}[samples.kind]


def _open_served(candidate: Candidate, store: Path) -> tuple[StoredModel, Reads]:
    """The served version.

    Raises:
        RunError: it cannot be read.
    """
    try:
        served = find_model(store, NAME, SERVED)
        return served, Reads.of(served, served.record.strings)
    except StartupError as error:
        raise RunError(
            f"{candidate.folder} stays a candidate, since the version that {store} serves cannot be read: {error} "
            f"To publish the candidate without a comparison: python -m training promote {candidate.folder}"
        ) from error


def _name_apart(name: str, taken: Mapping[str, Comparison]) -> str:
    """A name that no other set has: with a number where it comes again."""
    if name not in taken:
        return name
    return next(numbered for number in count(2) if (numbered := f"{name} ({number})") not in taken)


def _figures(results: Mapping[str, Comparison]) -> dict[str, object]:
    """Of each set how it is read, and in ``accepted`` how its digits are read rightly and accepted, or None."""

    def tell(paired: Paired) -> dict[str, object]:
        return asdict(paired) | {"interval": paired.interval, "chance": paired.chance}

    return {
        name: tell(result.read) | {"accepted": tell(result.accepted) if result.accepted else None}
        for name, result in results.items()
    }


def decide(candidate: Candidate, verdict: Verdict, force: str | None) -> Verdict:
    """The verdict, unless the candidate is forced by its name.

    Raises:
        RunError: another name is forced.
    """
    if force is not None and force != candidate.title:
        raise RunError(f"The candidate is {candidate.title}, not {force}. Only its own name forces it.")
    return Verdict(True, f"forced, though {verdict.reason}") if force and not verdict.passes else verdict


def promote(candidate: Candidate, store: Path, *, replace: bool = False) -> StoredModel:
    """Moves a candidate's version into the store, the folder with its record last.

    It is served at once only where nothing was. replace: puts it in the place of a version of that number. What else lies in
    the candidate's folder stays there.

    Raises:
        RunError: the candidate is the store itself, or the store has a version of that number, and it is not to be replaced.
        StartupError: a file of the candidate is not what its record says.
    """
    model = candidate.model
    if (store / NAME).exists() and (candidate.folder / NAME).samefile(store / NAME):
        raise RunError(f"{candidate.folder} is the store itself. A candidate lies in a folder of its own.")
    model.verify()
    there = candidate.number in versions(store, NAME)
    if there and not replace:
        raise RunError(f"{store} has a version {candidate.number} already; --replace puts the candidate in its place.")
    if (candidate.folder / REPORT).is_file():
        shutil.copyfile(candidate.folder / REPORT, model.folder / REPORT)
    folders = [each.format(NAME) for each in reversed(FOLDERS.values())]
    _copy([(candidate.folder / folder / candidate.number, store / folder / candidate.number) for folder in folders])
    if not (store / NAME / SERVED).exists():
        select(store, candidate.number)
    _remove(candidate)
    return find_model(store, NAME, candidate.number)


def _remove(candidate: Candidate) -> None:
    """Removes a candidate's files, and its folders where nothing else is in them."""
    folders = [candidate.folder / each.format(NAME) for each in FOLDERS.values()]
    for folder in folders:
        shutil.rmtree(folder / candidate.number, ignore_errors=True)
    for file in (*(folder / CONFIG for folder in folders), candidate.folder / REPORT, candidate.folder / FIGURES):
        file.unlink(missing_ok=True)
    for folder in (*folders, candidate.folder):
        with suppress(OSError):  # something else is in it
            folder.rmdir()


def renew(store: Path, number: str, validation: Split) -> StoredModel:
    """Makes anew what follows from the two networks of a version in the store, and puts it in place once all of it is there.

    Raises:
        StartupError: the version is not in the store, or needs another reader.
        ExportError: as complete.
    """
    folders = [each.format(NAME) for each in FOLDERS.values()]
    for folder in folders:
        _put_back(store / folder / number)
    record = find_model(store, NAME, number).record
    with TemporaryDirectory() as temporary:
        for folder in folders:
            shutil.copytree(store / folder / number, Path(temporary) / folder / number)
        complete(StoredModel(Path(temporary) / NAME / number, record), validation)
        return promote(Candidate(Path(temporary), number), store, replace=True)


def _copy(places: Sequence[tuple[Path, Path]]) -> None:
    """Copies folders, each from a place to another; all are copied before the first one takes its place.

    So the folders of two versions are mixed for no longer than it takes to rename them.
    """
    for source, target in places:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left_over in (_partial(target), _before(target)):
            shutil.rmtree(left_over, ignore_errors=True)
        shutil.copytree(source, _partial(target))
    for _, target in places:
        if target.exists():
            target.rename(_before(target))
        _partial(target).rename(target)
    for _, target in places:
        shutil.rmtree(_before(target), ignore_errors=True)


def _put_back(target: Path) -> None:
    """Puts back the folder of before where a process was killed before the new one had taken its place."""
    if _before(target).is_dir() and not target.exists():
        _before(target).rename(target)


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _before(target: Path) -> Path:
    return target.with_name(f".{target.name}.before")


def select(store: Path, number: str) -> StoredModel:
    """Makes a version the one that is served from the next start on, here and in Triton.

    Raises:
        StartupError: it is not in the store, needs another reader, or a file of it is not what its record says.
    """
    model = find_model(store, NAME, number)
    model.verify()
    write_configs(store, NAME, number)
    write_text(store / NAME / SERVED, f"{number}\n")
    return model
