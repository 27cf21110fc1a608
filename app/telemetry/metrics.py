"""What is counted and measured, for Prometheus; each method says when it is called.

A process alone keeps its series in memory. Several workers keep theirs in a folder that they share, where whichever is asked
adds them up (app.telemetry.multiprocess).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from app.reading.answer import Prediction
from app.reading.batch import PictureOutcome, TensorOutcome
from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.store import Reference
from app.reading.judge import REFUSING
from app.telemetry.drift import DIGITS, SUMS, Recent, describe

STAGES = ("queue", "decode", "find", "parse", "infer")

# Seconds. A canvas alone takes 2 ms, behind 63 others 50 ms, behind 255 others 220 ms, and no answer more than the deadline
# of 10 s; finding takes 0.3 to 9 ms, the largest picture 250 ms to decode, inference below 1 ms a picture.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PICTURES = (1, 2, 4, 8, 16, 32, 64)
CONFIDENCE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)

MODEL = ("name", "version", "sha256", "provider")  # sha256 of the ONNX file; provider where it really runs
RECENT = "recent_sum"  # shown as the gauges that app.telemetry.drift makes of it

GaugeMode = Literal["livesum", "livemax"]


class Metrics:
    """Every series of the service. Safe to use from several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: what the workers share, or None where there is one alone.

        Raises:
            StartupError: the folder cannot be written to.
        """
        disable_created_metrics()
        self._source, registry, self.close = _open(folder)

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"numeral_{name}", help_text, labels, registry=registry)

        def histogram(name: str, help_text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"numeral_{name}", help_text, labels, buckets=buckets, registry=registry)

        def gauge(name: str, help_text: str, mode: GaugeMode, *labels: str) -> Gauge:
            return Gauge(f"numeral_{name}", help_text, labels, multiprocess_mode=mode, registry=registry)

        requests = counter("requests", "Requests that were answered.", "route", "method", "status")
        request_seconds = histogram(
            "request_duration_seconds", "Time from a request's headers to the end of its answer.", SECONDS, "route"
        )
        self._of_request = cache(
            lambda route, method, status: (requests.labels(route, method, status), request_seconds.labels(route))
        )
        stages = histogram("stage_duration_seconds", "Time that a picture spent in each stage.", SECONDS, "stage")
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._batch_size = histogram("batch_size", "Pictures that were worked on together.", PICTURES)
        self._queue_depth = gauge("queue_depth", "Pictures that wait for a worker.", "livesum")
        self._in_progress = gauge("requests_in_progress", "Requests with pictures, let in and not answered yet.", "livesum")
        refusals = counter("refusals", "Problems that were answered, for requests and for pictures of batches.", "code")
        self._of_refusal = cache(refusals.labels)
        predictions = counter("predictions", "Digits that were answered.", "digit")
        self._predictions = [predictions.labels(digit) for digit in DIGITS]
        self._confidence = histogram("confidence", "Confidence of the answers, 0 to 1.", CONFIDENCE)
        rejections = counter("rejections", "Answers that were not accepted, by each of their reasons.", "reason")
        self._rejections = {reason: rejections.labels(reason) for reason in sorted(REFUSING)}
        self._warnings = counter("warnings", "Warnings beside answers that do not reject them.", "code")
        self._models = gauge("model_info", "1 for the model that is served.", "livemax", *MODEL)
        self._lost_lines = counter("log_lines_lost", "Lines that the log's stream did not take.")
        sums = gauge(RECENT, "Sums over recent pictures.", "livesum", "of")
        self._sums = {name: sums.labels(name) for name in SUMS}
        self._recent = Recent()
        self._reference: Reference | None = None
        self._served: Gauge | None = None

    def serve(self, classifier: DigitClassifier) -> None:
        """From now on this model answers: at start, and where it is exchanged."""
        record = classifier.record
        served = self._models.labels(record.name, record.version, record.sha256["model.onnx"], classifier.provider)
        if served is self._served:
            return
        if self._served:
            self._served.set(0)
        self._served = served
        served.set(1)
        self._recent, self._reference = Recent(), classifier.reference
        for value in self._sums.values():
            value.set(0)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """At the end of every request."""
        requests, request_seconds = self._of_request(route, method, status)
        requests.inc()
        request_seconds.observe(seconds)

    def count_refusal(self, code: str) -> None:
        """Where a request, or a picture of a batch, gets a problem."""
        self._of_refusal(code).inc()

    def count_lost_line(self) -> None:
        """Where the log's stream is closed or its disk full."""
        self._lost_lines.inc()

    def count_in_progress(self, change: int) -> None:
        """Where a request with pictures is let in, and, with -1, where it is answered."""
        self._in_progress.inc(change)

    def count_queued(self, change: int) -> None:
        """Where pictures begin to wait for a worker, and, below 0, where they no longer do."""
        self._queue_depth.inc(change)

    def count_outcomes(self, outcomes: Sequence[PictureOutcome | TensorOutcome]) -> None:
        """After pictures, or tensors, were worked on together."""
        self._batch_size.observe(len(outcomes))
        for outcome in outcomes:
            for stage, seconds in outcome.seconds.items():
                self._stages[stage].observe(seconds)
            if isinstance(outcome.result, tuple):
                for prediction, measured in zip(outcome.result, outcome.measured, strict=True):
                    self._count_prediction(prediction)
                    self._recent.add(prediction, measured)
        for name, value in self._recent.sums().items():
            self._sums[name].set(value)

    def _count_prediction(self, prediction: Prediction) -> None:
        self._predictions[prediction.digit].inc()
        self._confidence.observe(prediction.confidence)
        for warning in prediction.warnings:
            (self._rejections.get(warning.code) or self._warnings.labels(warning.code)).inc()

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The series of all workers in the format that suits the header Accept, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(_Exposition(self._source, self._reference)), content_type


def _open(folder: Path | None) -> tuple[Collector, CollectorRegistry, Callable[[], None]]:
    """What shows the series of all workers, where this one's are registered, and what ends its part."""
    registry = CollectorRegistry()
    if folder is None:
        return registry, registry, lambda: None
    from app.telemetry.multiprocess import SharedMetrics  # noqa: PLC0415  needs fcntl, which Windows does not have

    shared = SharedMetrics(folder)
    return shared, registry, shared.close


class _Exposition(Collector):
    """The series as they are shown."""

    def __init__(self, source: Collector, reference: Reference | None) -> None:
        self._source = source
        self._reference = reference

    def collect(self) -> Iterator[Metric]:
        """The families, with the gauges of drift in place of the sums, and of models only the one that is served."""
        for family in self._source.collect():
            if family.name == f"numeral_{RECENT}":
                yield from describe({sample.labels["of"]: sample.value for sample in family.samples}, self._reference)
                continue
            if family.name == "numeral_model_info":
                family.samples = [sample for sample in family.samples if sample.value]
            yield family
