"""Makes confidence mean what it says: temperature, acceptance threshold and least energy, all fitted to validation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import NormalDist

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.evaluation.calibration import BINS, calibration_error
from training.data.mnist import CLASSES, Split
from training.data.run_data import RunData
from training.errors import RunError
from training.learning.augment import augment
from training.learning.evaluate import infer, to_unit

TARGET = 0.995  # share of right ones among the accepted answers
ONE_SIDED = NormalDist().inv_cdf(0.95)  # standard deviations: the target is kept with a probability of 95 %, not of a half
GIVEN_UP = 0.005  # share of the digits that could be accepted, given up so that less passes that is not a digit
MOST_REFUSED, STEPS = 0.2, 41  # least energies that are tried: up to that quantile of the digits' energy, so many
SEED = 0  # of the distortion of MNIST's validation digits
TEMPERATURES = (0.05, 20.0)  # looked for between
DECIMALS = 4
FOUND = "found_validation"


@dataclass(frozen=True)
class Answers:
    """What a network says of digits: logits (N, 10), labels (N,), and the logit of no digit (N,), 0 where it has none."""

    logits: Tensor
    labels: Tensor
    none: Tensor | float = 0.0

    def probabilities(self, temperature: float) -> Tensor:
        """(N, 10) float64."""
        return (self.logits.double() / temperature).softmax(dim=1)

    @property
    def energy(self) -> Tensor:
        """(N,): the log odds of a digit against none, the log-sum-exp of the digits' logits less that of no digit."""
        return self.logits.logsumexp(dim=1) - self.none


@dataclass(frozen=True)
class Calibration:
    """temperature: the logits' divisor; threshold, least_energy: the least confidence and energy of what is accepted."""

    temperature: float
    threshold: float
    least_energy: float


def calibrate(hard: Answers, outliers: Answers | None = None) -> Calibration:
    """Fits the temperature to hard digits, then the threshold and the least energy together to them and to non-digits.

    Of the pairs that keep TARGET and accept all but GIVEN_UP of the digits that the best of them accepts, it takes the one
    that accepts the fewest non-digits. Without non-digits, the energy turns down GIVEN_UP of all digits.
    """
    temperature = round(fit_temperature(hard), DECIMALS)
    if outliers is None:
        return _with_energy(hard, temperature, float(hard.energy.quantile(GIVEN_UP)))
    energies = hard.energy.quantile(torch.linspace(0, MOST_REFUSED, STEPS)).tolist()
    tried = [_with_energy(hard, temperature, energy) for energy in energies]
    digits = [int(acceptance(hard, each).sum()) for each in tried]
    others = [int(acceptance(outliers, each).sum()) for each in tried]
    enough = [index for index, count in enumerate(digits) if count >= (1 - GIVEN_UP) * max(digits)]
    return tried[min(enough, key=lambda index: (others[index], -digits[index]))]


def _with_energy(answers: Answers, temperature: float, energy: float) -> Calibration:
    """The least threshold that keeps TARGET among the digits of at least that energy."""
    least = round(energy, DECIMALS)
    enough = answers.energy >= least
    confidence, digit = answers.probabilities(temperature).max(dim=1)
    right = digit == answers.labels
    return Calibration(temperature, round(fit_threshold(confidence[enough], right[enough], TARGET), DECIMALS), least)


def fit_temperature(answers: Answers) -> float:
    """The temperature of least cross-entropy, by golden-section search over its logarithm, in which it is unimodal.

    Source: Guo, Pleiss, Sun, Weinberger 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599.
    """

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(answers.logits.double() / torch.tensor(log_temperature).exp(), answers.labels).item()

    low, high = torch.tensor(TEMPERATURES).log().tolist()
    golden = (5**0.5 - 1) / 2
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(torch.tensor((low + high) / 2).exp())


def fit_threshold(confidence: Tensor, right: Tensor, target: float) -> float:
    """The least confidence from which on surely the target's share of answers is right; 1 where there is none such.

    confidence, right: (N,). Source: selection with guaranteed risk, Geifman & El-Yaniv 2017, arXiv:1705.08500, here with the
    upper end of Wilson's interval for the risk (Probable inference, Journal of the American Statistical Association 22, 1927).
    """
    coverage, risk, threshold = risk_coverage(confidence, right)
    enough = torch.nonzero(at_most(risk, coverage * len(confidence)) <= 1 - target).flatten()
    return float(threshold[enough[-1]]) if len(enough) else 1.0


def at_most(share: Tensor, count: Tensor) -> Tensor:
    """The upper end of Wilson's one-sided interval for shares that were seen among so many, both (N,)."""
    spread = ONE_SIDED * (share * (1 - share) / count + ONE_SIDED**2 / (4 * count**2)).sqrt()
    return (share + ONE_SIDED**2 / (2 * count) + spread) / (1 + ONE_SIDED**2 / count)


def risk_coverage(confidence: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(coverage, risk, threshold), each (N,), from the surest answer alone to all of them.

    risk: the share of wrong ones among those accepted at the threshold.
    """
    order = confidence.argsort(descending=True, stable=True)
    count = torch.arange(1, len(order) + 1)
    wrong = (~right[order]).cumsum(dim=0)
    return count / len(order), wrong / count, confidence[order]


def reliability(confidence: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(mean confidence, share of right ones, count) of each of BINS equal ranges of confidence, 0 where one is empty."""
    index = (confidence * BINS).long().clamp(max=BINS - 1)
    count = torch.bincount(index, minlength=BINS)
    stated, true = (torch.bincount(index, weights=each.double(), minlength=BINS) for each in (confidence, right))
    return stated / count.clamp(min=1), true / count.clamp(min=1), count


def acceptance(answers: Answers, calibration: Calibration) -> Tensor:
    """(N,) bool: what the service accepts."""
    confidence = answers.probabilities(calibration.temperature).amax(dim=1)
    return (confidence >= calibration.threshold) & (answers.energy >= calibration.least_energy)


def figures(judged: Mapping[str, Answers], outliers: Answers | None, calibration: Calibration) -> dict[str, float]:
    """Of each split by name: its calibration error before and after, the share accepted, and how many of those are right.

    Of what is not a digit, the share accepted.
    """
    result = {}
    for name, answers in judged.items():
        for suffix, temperature in (("", calibration.temperature), ("_uncalibrated", 1.0)):
            confidence, digit = answers.probabilities(temperature).max(dim=1)
            result[f"{name}_ece{suffix}"] = calibration_error(confidence.numpy(), (digit == answers.labels).numpy())
        accepted = acceptance(answers, calibration)
        right = answers.logits.argmax(dim=1) == answers.labels
        result[f"{name}_coverage"] = float(accepted.double().mean())
        result[f"{name}_accepted_accuracy"] = 1 - float((accepted & ~right).sum() / accepted.sum().clamp(min=1))
    if outliers is not None:
        result["outliers_validation_coverage"] = float(acceptance(outliers, calibration).double().mean())
    return result


def answer(model: nn.Module, split: Split) -> Answers:
    """What a network says of a split."""
    logits = infer(model, split.images)
    none = logits[:, CLASSES] if logits.shape[1] > CLASSES else torch.zeros(len(logits))
    return Answers(logits[:, :CLASSES], split.labels, none)


def ask(model: nn.Module, data: RunData) -> Answers:
    """The network's answers on hard digits of validation.

    These are MNIST's, distorted, and what a finder found in scenes, where the data have it. Many scenes are harder than what
    people send.
    """
    torch.manual_seed(SEED)
    mnist = data.judged["mnist_validation"]
    distorted = augment(to_unit(mnist.images)).mul(255).round().byte().squeeze(1)
    hard = answer(model, Split(distorted, mnist.labels))
    if FOUND in data.judged:
        hard = together(hard, answer(model, data.judged[FOUND]))
    return hard


def together(one: Answers, other: Answers) -> Answers:
    """One after the other."""
    none = torch.cat([each.none + torch.zeros(len(each.labels)) for each in (one, other)])
    return Answers(torch.cat((one.logits, other.logits)), torch.cat((one.labels, other.labels)), none)


def load_calibration(run: Path) -> Calibration:
    """The calibration of an exported run.

    Raises:
        RunError: it was not exported.
    """
    path = run / "calibration.json"
    if not path.is_file():
        raise RunError(f"{path} is missing: export the run first.")
    values = json.loads(path.read_text(encoding="utf-8"))
    return Calibration(**{each.name: values[each.name] for each in fields(Calibration)})
