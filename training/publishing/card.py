"""The model card: what a version is, what it was made of, what it measured and where it fails."""

from collections.abc import Mapping
from typing import Any

from app.reading.infer.record import (
    EDITIONS,
    ENERGY,
    GLYPH,
    INPUT,
    LOGITS,
    NO_DIGIT,
    PROBABILITIES,
    FinderRecord,
    ModelRecord,
    StringWeights,
)
from training.publishing.calibrate import GIVEN_UP, TARGET

SMOKE_NOTE = """\
**Made by a smoke run, on a few digits: to try the path, not to read with. What follows on data and figures does not hold.**

"""


def card(record: ModelRecord) -> str:
    """The model card in Markdown, after Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993."""
    metrics, config = record.metrics, record.config
    note = SMOKE_NOTE if config["smoke"] else ""
    hands = (FOUND if config.get("glyphs") else AMERICAN) + (CORRECTED if config.get("corrections") else "")
    return f"""\
{note}# {record.name} {record.version}

Reads handwritten digits, 0 to 9, in pictures. The finder sees where they are and which pixels are their ink. The classifier
reads each in a 28×28 glyph as MNIST has them: bright ink on black, the longer side 20 pixels, the centre of mass in the middle.

| | |
|---|---|
| classifier | `{record.architecture}`, {record.parameters:,} parameters |
| its input | `{INPUT}`: float32 (N, 1, 28, 28), normalised with the mean and deviation in the file's metadata |
| its outputs | `{LOGITS}`: float32 (N, 10); divided by the temperature, their softmax is the confidence |
| | `{NO_DIGIT}`: float32 (N, 1), the logit of what is not a digit |
| `{EDITIONS["uint8"]}` | `{GLYPH}`: uint8 (N, 28, 28); `{PROBABILITIES}`, calibrated, and `{ENERGY}`: float32 (N, 10), (N,) |
{_finder_row(record.finder)}| made | {record.created}, seed {record.seed}, commit {record.commit} |
| reader | {record.reader}, the first that finds by a network |

The record has the sha256 of each file of the version, in four folders of the model store: docs/model-store.md.

## Data

MNIST (Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0): 54,000 digits to train on, 6,000 to choose by, stratified and
seeded. The 10,000 test digits were looked at once, after the checkpoint had been chosen.{hands}

## Recipe

{_recipe(config)}

## Figures

| split | right | of the seeds | wrong | cross-entropy | calibration error (before) | accepted | right of these | of the seeds |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(_figures(metrics, split) for split in SPLITS if f"{split}_accuracy" in metrics)}

The checkpoint is {_of_evaluations(metrics, config)}, {_of_seeds(metrics)}; never by a look at the
test set. Figures in the literature that are picked on the test set, or come from several networks together, do not compare.

{_finder_figures(record.finder)}## Confidence and acceptance

The logits are divided by {metrics["temperature"]:g}, the temperature of least cross-entropy (arXiv:1706.04599) on
validation digits made hard. An answer is accepted where its confidence is at least {metrics["threshold"]:g} and its
energy score (arXiv:2010.03759) at least {metrics["least_energy"]:g}. With these limits {TARGET:.1%} of the accepted answers
among these are right (with 95 % certainty for pictures of their kind). Of all limits that keep this and
accept nearly as many digits, within {GIVEN_UP:.1%} of the most, these turn down the most of what is not a
digit.{_not_digits(metrics)}

![Share of right answers against confidence](reliability.png)

![Wrong among the accepted answers against the share accepted](risk-coverage.png)

## Limits

One digit at a time; several in one glyph are no digit to it. It is poor at digits whose strokes are cut off, at strokes
that fill their loops, and it cannot tell a letter that looks like a digit, such as O, l or S, from one. Made
photos are tidier than real ones: figures on them are for comparison.

How it stands noise, shadow, thin pens and the rest is in the project's docs/robustness.md; what it costs next to other
networks in docs/cost.md; how it reads real photos and drawings, USPS, optdigits and real letters, and what was tried, in
docs/experiments.md.

## Whole numbers

`/read` answers all digits of a picture. A string is accepted where its calibrated confidence is at least
{record.strings.accepted:.4f}, from which on 15 % of those of made scenes, most of which are harder than what people send, are
expected to be wrong. It reads every number in a picture, printed ones too, and does not know which one is meant.
Next to digits, separators of form fields and remains of frames are sometimes read as 1. Strokes that run through several
digits, such as chained zeros, are read less surely than separate ones, and so are digits less than about 8 pixels high.
Scattered digits have no order but that of their places. A page upside down is noticed only if its digits are not digits
upside down, too.
{MISREAD_NUMBERS if record.strings != StringWeights() else ""}
## Licence

The weights are under the project's licence, MIT. The data keep theirs, as above.

## Looking inside

`pip install netron && netron model.onnx` draws the graph in the browser, with shapes, weights and metadata.
"""


MISREAD = "misread.png"
MISREAD_NUMBERS = f"""
Made numbers by writers and in fonts of validation that it misreads, with what stands there and what was read. Those come first
of which it is surest; numbers that nobody could read are among them.

![Made numbers that are misread]({MISREAD})
"""


FOUND = """

Scenes are made pictures of digits, letters and signs, with their truth. Who writes in them: MNIST's digits; Pen-Based
Recognition of Handwritten Digits (E. Alpaydın, F. Alimoğlu, 1998; UCI, https://doi.org/10.24432/C5MG6K; CC BY 4.0); where they
were there, digits, letters and signs of UNIPEN's train_r01_v07 (I. Guyon, L. Schomaker, R. Plamondon, M. Liberman, S. Janet,
ICPR 1994; International Unipen Foundation, https://doi.org/10.5281/zenodo.1195803), which may be used to train recognisers,
also commercial ones, and is not a part of this; and handwriting fonts from npm (OFL and Apache licences). Writers and fonts
are split into training, validation and test. The finder of this version learned the scenes; the glyphs that it cuts from
other scenes, and what it cuts from letters, signs, halves and pairs of digits, were learned next to MNIST's own digits."""


CORRECTED = """

The classifier went on from the version that was served, and learned corrections, too: glyphs that users of a service sent with
what they show, each accepted by a person. They are not a part of this; no client has more than a quarter of their weight."""


AMERICAN = """ Its writers are American: a 1
with a flag, a closed 4 or a crossed 7 are rare in it, and are read less well."""


SPLITS = ("mnist_validation", "mnist_test", "found_validation", "found_test")


FINDER_FIGURES = ("found", "told", "overlap", "ink", "f1")


def _finder_row(finder: FinderRecord | None) -> str:
    return f"| finder | `{finder.architecture}`, {finder.parameters:,} parameters, commit {finder.commit} |\n" if finder else ""


def _finder_figures(finder: FinderRecord | None) -> str:
    """How the finder does on the test's scenes, by kind."""
    if finder is None or "test" not in finder.metrics:
        return ""
    rows = (_finder_line(kind, figures) for kind, figures in finder.metrics["test"].items())
    return f"""\
The finder alone, on made scenes by the test's writers and fonts: digits found, and found with the right label; overlap of
boxes and of ink; the F1 of digits; and how many digits a scene it finds where there are none.

| scenes | of | found | right label | boxes | ink | F1 | extra |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

"""


def _finder_line(kind: str, figures: Mapping[str, float]) -> str:
    shares = " | ".join(f"{figures[name]:.2%}" for name in FINDER_FIGURES)
    return f"| {kind} | {figures['scenes']:,} | {shares} | {figures['extra']:.2f} |"


def _recipe(config: Mapping[str, Any]) -> str:
    lines = (f"| {name} | {', '.join(value) if isinstance(value, list | tuple) else value} |" for name, value in config.items())
    return "\n".join(("| setting | value |", "|---|---|", *lines))


def _figures(metrics: Mapping[str, float], split: str) -> str:
    accuracy, errors, loss = (metrics[f"{split}_{key}"] for key in ("accuracy", "errors", "loss"))
    after, before, coverage, accepted = (
        f"{metrics[f'{split}_{key}']:.2%}" for key in ("ece", "ece_uncalibrated", "coverage", "accepted_accuracy")
    )
    return (
        f"| {split.replace('_', ' ')} | {accuracy:.2%} | {_over_seeds(metrics, f'{split}_accuracy')} | {errors} | {loss:.4f} "
        f"| {after} ({before}) | {coverage} | {accepted} | {_over_seeds(metrics, f'{split}_accepted_accuracy')} |"
    )


def _over_seeds(metrics: Mapping[str, float], name: str) -> str:
    if f"{name}_mean" not in metrics:
        return "–"
    return f"{metrics[f'{name}_mean']:.2%} ± {100 * metrics[f'{name}_std']:.2f}"


def _of_evaluations(metrics: Mapping[str, float], config: Mapping[str, Any]) -> str:
    if "evaluations" not in metrics:
        return str(config["start"])  # the mean of others
    count = metrics["evaluations"]
    return f"the best on validation of {count:.0f} evaluations" if count > 1 else "that of the training's end"


def _of_seeds(metrics: Mapping[str, float]) -> str:
    if "seeds" not in metrics:
        return "of one seed"
    mean, deviation = metrics["mnist_test_accuracy_mean"], metrics["mnist_test_accuracy_std"]
    return f"the seed the best of {metrics['seeds']} on validation (test, over the seeds: {mean:.2%} ± {100 * deviation:.2f})"


def _not_digits(metrics: Mapping[str, float]) -> str:
    if "outliers_validation_coverage" not in metrics:
        return ""
    return (
        f" Of validation's made non-digits,\n{metrics['outliers_validation_coverage']:.1%} are accepted. Such are trained on "
        "(outlier exposure, arXiv:1812.04606), against a class of\nbackground with a logit of its own (after arXiv:1811.04110)."
    )
