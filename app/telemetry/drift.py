"""Compares recent pictures with the pictures that the model was made for.

Each worker keeps sums over its pictures, in which older ones fade. The sums of several workers can be added. Shares and means
cannot, so they are computed from the sums when the metrics are read.
"""

from collections.abc import Iterator, Mapping
from threading import Lock

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from app.reading.answer import Prediction
from app.reading.find.measure import Measurements
from app.reading.infer.record import MEASURES, Reference

WINDOW = 1_000  # pictures of a worker; a picture that many places back weighs a third of the newest
FADING = 1 - 1 / WINDOW
DIGITS = tuple("0123456789")
SUMS = ("pictures", "rejected", *MEASURES, *DIGITS)  # the names of the sums


class Recent:
    """Fading sums over the answered pictures. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sums = dict.fromkeys(SUMS, 0.0)

    def add(self, prediction: Prediction, measured: Measurements) -> None:
        """Adds a picture to the sums."""
        with self._lock:
            sums = {name: FADING * value for name, value in self._sums.items()}
            sums["pictures"] += 1
            sums["rejected"] += not prediction.accepted
            sums[DIGITS[prediction.digit]] += 1
            for name in MEASURES:
                sums[name] += getattr(measured, name)
            self._sums = sums

    def sums(self) -> dict[str, float]:
        """The current sums, by the names in SUMS."""
        return self._sums


def describe(sums: Mapping[str, float], reference: Reference | None) -> Iterator[Metric]:
    """Turns the sums of all workers into gauges: shares and means, and their distance from the reference."""
    pictures = sums.get("pictures", 0.0)
    yield GaugeMetricFamily("numeral_recent_pictures", "Number of pictures that the numeral_recent_ gauges cover.", pictures)
    recent = _to_reference(sums, pictures) if pictures else None
    if recent:
        yield from _show("recent", "recent pictures", recent)
    if reference:
        yield from _show("reference", "the reference pictures of the model", reference)
        yield _labelled("numeral_reference_deviation", "Standard deviation in the reference.", "measure", reference.deviations)
    if recent and reference:
        yield _labelled("numeral_drift", DRIFT, "measure", distance(recent, reference))


DRIFT = (
    "Distance of recent pictures from the reference. stroke_width, slant and contrast: in standard deviations of the "
    "reference; digits: the share that would have to change (total variation); rejected: the difference of the shares."
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
    """The distance of recent pictures from the reference, by measure, in the units that DRIFT gives."""
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
