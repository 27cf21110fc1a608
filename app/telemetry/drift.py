"""What pictures are like of late, beside what they were like when the model was made.

Each worker keeps sums over its pictures in which older ones fade. The sums of several workers add up; shares and means,
which do not, are made of them when they are shown.
"""

from collections.abc import Iterator, Mapping
from threading import Lock

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from app.reading.answer import Prediction
from app.reading.find.measure import Measurements
from app.reading.infer.store import MEASURES, Reference

WINDOW = 1_000  # pictures of a worker; one that came so many ago weighs a third of the newest
FADING = 1 - 1 / WINDOW
DIGITS = tuple("0123456789")
SUMS = ("pictures", "rejected", *MEASURES, *DIGITS)  # what is summed


class Recent:
    """Fading sums over the pictures that were answered. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sums = dict.fromkeys(SUMS, 0.0)

    def add(self, prediction: Prediction, measured: Measurements) -> None:
        """Counts a picture."""
        with self._lock:
            sums = {name: FADING * value for name, value in self._sums.items()}
            sums["pictures"] += 1
            sums["rejected"] += not prediction.accepted
            sums[DIGITS[prediction.digit]] += 1
            for name in MEASURES:
                sums[name] += getattr(measured, name)
            self._sums = sums

    def sums(self) -> dict[str, float]:
        """What has come together, by the names of SUMS."""
        return self._sums


def describe(sums: Mapping[str, float], reference: Reference | None) -> Iterator[Metric]:
    """Sums over recent pictures of all workers as gauges: shares and means, and how far they are from the reference's."""
    pictures = sums.get("pictures", 0.0)
    yield GaugeMetricFamily("numeral_recent_pictures", "How many pictures the numeral_recent_ gauges are of.", pictures)
    recent = _to_reference(sums, pictures) if pictures else None
    if recent:
        yield from _show("recent", "recent pictures", recent)
    if reference:
        yield from _show("reference", "the pictures that the model's reference was made of", reference)
        yield _labelled("numeral_reference_deviation", "Standard deviation in the reference.", "measure", reference.deviations)
    if recent and reference:
        yield _labelled("numeral_drift", DRIFT, "measure", distance(recent, reference))


DRIFT = (
    "How far recent pictures are from the reference: of stroke_width, slant and contrast, in its standard deviations; of "
    "digits, the share that would have to change (total variation); of rejected, the difference of the shares."
)


def _to_reference(sums: Mapping[str, float], pictures: float) -> Reference:
    share = {name: value / pictures for name, value in sums.items()}
    return Reference(
        pictures=round(pictures),
        digits=[share[digit] for digit in DIGITS],
        rejected=share["rejected"],
        means={name: share[name] for name in MEASURES},
        deviations={},
    )


def distance(recent: Reference, reference: Reference) -> dict[str, float]:
    """How far recent pictures are from the reference, by measure; the metric's help text tells the units."""
    differing = sum(abs(new - old) for new, old in zip(recent.digits, reference.digits, strict=True)) / 2
    means = {
        name: (recent.means[name] - reference.means[name]) / reference.deviations[name]
        for name in MEASURES
        if reference.deviations[name]
    }
    return {"digits": differing, "rejected": recent.rejected - reference.rejected, **means}


def _show(name: str, what: str, values: Reference) -> Iterator[Metric]:
    shares = dict(zip(DIGITS, values.digits, strict=True))
    yield _labelled(f"numeral_{name}_digit_share", f"Share of each digit in {what}, 0 to 1.", "digit", shares)
    yield GaugeMetricFamily(
        f"numeral_{name}_rejected_share", f"Share of answers that were not accepted in {what}, 0 to 1.", values.rejected
    )
    units = "stroke_width over the digit's longer side, slant in degrees to the right, contrast 0 to 1"
    yield _labelled(f"numeral_{name}_mean", f"Mean in {what}: {units}.", "measure", values.means)


def _labelled(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
