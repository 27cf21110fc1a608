"""Calibration: it recovers the temperature, errors match their definitions, and the threshold keeps its promise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from app.evaluation.calibration import calibration_error
from training.publishing.calibrate import (
    GIVEN_UP,
    Answers,
    Calibration,
    acceptance,
    at_most,
    calibrate,
    figures,
    fit_temperature,
    fit_threshold,
    reliability,
    risk_coverage,
    together,
)

SURE, UNSURE = 8.0, 1.0  # logits of the answered digit


def honest(n: int = 20_000) -> Answers:
    """Logits whose softmax is the true share of each label."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).flatten()
    return Answers(logits, labels)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_what_the_logits_were_multiplied_by(factor: float) -> None:
    answers = honest()

    assert fit_temperature(Answers(factor * answers.logits, answers.labels)) == pytest.approx(factor, rel=0.05)


def test_honest_confidence_has_no_calibration_error_but_overconfidence_does() -> None:
    answers = honest()
    errors = []
    for temperature in (1.0, 0.25):
        confidence, digit = answers.probabilities(temperature).max(dim=1)
        errors.append(calibration_error(confidence.numpy(), (digit == answers.labels).numpy()))

    assert errors[0] < 0.01
    assert errors[1] > 0.1


def test_the_calibration_error_of_four_answers_matches_a_calculation_by_hand() -> None:
    confidence = torch.tensor([0.99, 0.97, 0.61, 0.63], dtype=torch.float64)
    right = torch.tensor([True, True, True, False])

    assert calibration_error(confidence.numpy(), right.numpy()) == pytest.approx((2 * 0.02 + 2 * 0.12) / 4)
    stated, true, count = reliability(confidence, right)
    assert count.tolist() == [0] * 9 + [2] + [0] * 4 + [2]
    assert stated[9].item() == pytest.approx(0.62)
    assert true[9].item() == 0.5


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.floats(0.5, 1))
def test_answers_above_the_threshold_keep_the_target(pairs: list[tuple[float, bool]], target: float) -> None:
    confidence, right = (torch.tensor(values) for values in zip(*pairs, strict=True))

    threshold = fit_threshold(confidence, right, target)

    if threshold < 1:
        surer = confidence > threshold  # among equals the order decides
        assert (~right[surer]).sum() <= (1 - target) * (confidence >= threshold).sum() + 1e-6


def test_the_target_is_kept_on_new_digits_nearly_always() -> None:
    generator, kept = torch.Generator().manual_seed(0), 0
    for _ in range(100):
        confidence = torch.rand(2, 4_000, generator=generator)
        right = torch.rand(2, 4_000, generator=generator) < 0.9 + 0.1 * confidence  # the sure ones are oftener right
        threshold = fit_threshold(confidence[0], right[0], 0.98)
        kept += 0.9 + 0.1 * (1 + threshold) / 2 >= 0.98  # the true share above the threshold

    assert kept >= 88


def test_the_upper_end_of_wilsons_interval_is_that_of_the_textbook() -> None:
    assert at_most(torch.tensor([0.1, 0.0]), torch.tensor([100.0, 10.0])).tolist() == pytest.approx([0.1604, 0.2130], abs=1e-4)


def test_risk_and_coverage_run_from_the_surest_to_all() -> None:
    coverage, risk, threshold = risk_coverage(torch.tensor([0.5, 0.9, 0.7]), torch.tensor([False, True, True]))

    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3])
    assert threshold.tolist() == pytest.approx([0.9, 0.7, 0.5])


def test_acceptance_requires_both_confidence_and_energy() -> None:
    logits = torch.stack([SURE * F.one_hot(torch.tensor(3), 10), UNSURE * F.one_hot(torch.tensor(3), 10)])
    answers = Answers(torch.cat((logits, logits - 9)), torch.full((4,), 3))

    assert acceptance(answers, Calibration(1.0, 0.9, 0.0)).tolist() == [True, False, False, False]


def test_limits_turn_down_what_is_not_a_digit_where_that_costs_few_digits() -> None:
    labels = torch.arange(2_000) % 10
    doubt = torch.where(torch.arange(2_000) < 200, 0.1, 1.0)[:, None]  # one digit in ten is unsure
    digits = Answers(doubt * SURE * F.one_hot(labels, 10), labels)
    others = Answers(SURE * F.one_hot(labels[:500], 10).float(), torch.full((500,), 10), none=SURE - 3)

    alone, with_others = calibrate(digits), calibrate(digits, others)

    assert acceptance(others, alone).all()
    assert not acceptance(others, with_others).any()
    assert acceptance(digits, with_others).sum() >= (1 - GIVEN_UP) * acceptance(digits, alone).sum()


def test_the_figures_cover_each_split_and_the_outliers() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(4_000) % 10
    answers = Answers(torch.randn(4_000, 10, generator=generator) + 4 * F.one_hot(labels, 10), labels)
    calibration = calibrate(answers)

    told = figures({"photos": answers}, Answers(torch.full((4, 10), -9.0), torch.full((4,), 10)), calibration)

    assert 0 < told["photos_coverage"] < 1
    assert told["photos_accepted_accuracy"] >= 0.99
    assert told["outliers_validation_coverage"] == 0


def test_a_logit_of_no_digit_lowers_the_energy_and_leaves_the_probabilities() -> None:
    answers = honest(50)
    doubting = Answers(answers.logits, answers.labels, torch.full((50,), 3.0))

    assert torch.equal(doubting.probabilities(1.5), answers.probabilities(1.5))
    assert torch.allclose(doubting.energy, answers.energy - 3)
    assert torch.allclose(together(answers, doubting).energy, torch.cat((answers.energy, doubting.energy)))
