"""Recent pictures compared with the reference: means, shares, and their distance."""

import pytest

from app.reading.answer import Box, ModelName, Prediction
from app.reading.find.measure import Measurements
from app.reading.infer.record import Reference
from app.telemetry.drift import WINDOW, Recent, describe, distance

REFERENCE = Reference(
    pictures=1000,
    digits=[0.1] * 10,
    rejected=0.05,
    means={"stroke_width": 0.1, "slant": 5.0, "contrast": 0.6},
    deviations={"stroke_width": 0.02, "slant": 10.0, "contrast": 0.2},
)


def prediction(digit: int, *, accepted: bool = True) -> Prediction:
    probabilities = [float(number == digit) for number in range(10)]
    model = ModelName(name="digits", version="1")
    return Prediction(
        digit=digit,
        confidence=1,
        probabilities=probabilities,
        accepted=accepted,
        warnings=[],
        box=Box(0, 0, 1, 1),
        model=model,
        glyph=None,
    )


def measured(stroke_width: float = 0.1, slant: float = 5, contrast: float = 0.6) -> Measurements:
    return Measurements(contrast=contrast, stroke_width=stroke_width, edge_width=0.05, strokes=1, slant=slant)


def show(recent: Recent, reference: Reference | None = REFERENCE) -> dict[str, float]:
    """The gauges' values, by name and label."""
    samples = [sample for family in describe(recent.sums(), reference) for sample in family.samples]
    return {" ".join([sample.name.removeprefix("numeral_"), *sample.labels.values()]): sample.value for sample in samples}


def test_pictures_like_the_reference_are_not_drift() -> None:
    recent = Recent()
    for number in range(1000):
        recent.add(prediction(number % 10, accepted=number % 20 > 0), measured())

    gauges = show(recent)

    for measure in ("digits", "rejected", "stroke_width", "slant", "contrast"):
        assert gauges[f"drift {measure}"] == pytest.approx(0, abs=0.01)
    assert gauges["recent_mean slant"] == pytest.approx(5)


def test_other_pens_other_digits_and_more_refusals_are_drift() -> None:
    recent = Recent()
    for _ in range(100):
        recent.add(prediction(1, accepted=False), measured(stroke_width=0.06, slant=25))

    gauges = show(recent)

    assert gauges["drift stroke_width"] == pytest.approx(-2)
    assert gauges["drift slant"] == pytest.approx(2)
    assert gauges["drift digits"] == pytest.approx(0.9)
    assert gauges["drift rejected"] == pytest.approx(0.95)
    assert gauges["recent_digit_share 1"] == pytest.approx(1)


def test_old_pictures_fade() -> None:
    recent = Recent()
    for _ in range(WINDOW):
        recent.add(prediction(1), measured())
    for _ in range(WINDOW):
        recent.add(prediction(2), measured())

    assert show(recent)["recent_digit_share 2"] == pytest.approx(0.73, abs=0.01)


def test_the_sums_of_several_workers_add_up() -> None:
    one, other, both = Recent(), Recent(), {}
    one.add(prediction(1), measured(slant=0))
    other.add(prediction(2), measured(slant=10))
    both = {name: value + other.sums()[name] for name, value in one.sums().items()}

    gauges = {family.name: family for family in describe(both, None)}

    assert gauges["numeral_recent_pictures"].samples[0].value == 2
    assert {sample.labels["measure"]: sample.value for sample in gauges["numeral_recent_mean"].samples}["slant"] == 5


def test_without_pictures_or_without_a_reference_there_is_no_drift_to_show() -> None:
    recent = Recent()
    assert not [name for name in show(recent) if name.startswith(("drift", "recent_mean"))]
    recent.add(prediction(1), measured())

    assert not [name for name in show(recent, None) if name.startswith(("drift", "reference"))]


def test_a_measure_that_never_varied_is_not_divided_by() -> None:
    still = REFERENCE.model_copy(update={"deviations": {"stroke_width": 0.0, "slant": 1.0, "contrast": 1.0}})

    assert set(distance(REFERENCE, still)) == {"digits", "rejected", "slant", "contrast"}
