"""Counts and measures for Prometheus. The docstring of each method says when to call it.

A single process keeps its series in memory. Several workers keep theirs in a shared folder, and the worker that is asked adds
them up (app.telemetry.multiprocess).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from app.errors import RequestError
from app.reading.answer import Prediction, ReadDigit, Reading, ReadingWarning
from app.reading.infer.record import Reference
from app.reading.judge import REFUSING
from app.reading.model import DigitModel
from app.reading.requests import PictureOutcome, TensorOutcome
from app.telemetry.drift import DIGITS, SUMS, Recent, describe

STAGES = ("queue", "decode", "find", "parse", "infer")

# Seconds. A single canvas takes 2.5 ms, behind 63 others 90 ms, behind 255 others 350 ms, a page of digits 110 ms. No answer
# takes longer than the deadline of 10 s.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PICTURES = (1, 2, 4, 8, 16, 32, 64)
CONFIDENCE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)

MODEL = ("name", "version", "sha256", "provider")  # sha256: of the ONNX file; provider: the one in use
REASONS = ("confirmed", "wrong-digit", "wrong-lines", "no-digit")  # of corrections
SEVERAL = "several"  # in place of the digit, of an answer of several digits
RECENT = "recent_sum"  # exposed as gauges by app.telemetry.drift

GaugeMode = Literal["livesum", "livemax"]


class Metrics:
    """Every series of the service. Safe to use from several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: shared by the workers, or None for a single process.

        Raises:
            StartupError: the folder is not writable.
        """
        disable_created_metrics()
        self._source, registry, self.close = _open(folder)

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"numeral_{name}", help_text, labels, registry=registry)

        def histogram(name: str, help_text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"numeral_{name}", help_text, labels, buckets=buckets, registry=registry)

        def gauge(name: str, help_text: str, mode: GaugeMode, *labels: str) -> Gauge:
            return Gauge(f"numeral_{name}", help_text, labels, multiprocess_mode=mode, registry=registry)

        requests = counter("requests", "Answered requests.", "route", "method", "status")
        request_seconds = histogram(
            "request_duration_seconds", "Time from the headers of a request to the end of its response.", SECONDS, "route"
        )
        self._of_request = cache(
            lambda route, method, status: (requests.labels(route, method, status), request_seconds.labels(route))
        )
        stages = histogram("stage_duration_seconds", "Time that a picture spent in each stage.", SECONDS, "stage")
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._batch_size = histogram("batch_size", "Pictures worked on together.", PICTURES)
        self._queue_depth = gauge("queue_depth", "Pictures waiting for a worker.", "livesum")
        self._in_progress = gauge(
            "requests_in_progress", "Requests with pictures that were admitted and are not answered yet.", "livesum"
        )
        refusals = counter("refusals", "Problems returned, for requests and for pictures of batches.", "code")
        self._of_refusal = cache(refusals.labels)
        for code in _codes_below(RequestError):
            self._of_refusal(code)  # at 0: of a series that begins with its first problem, `increase` does not see that one
        predictions = counter("predictions", "Digits returned.", "digit")
        self._predictions = [predictions.labels(digit) for digit in DIGITS]
        self._confidence = histogram("confidence", "Confidence of the answers, 0 to 1.", CONFIDENCE)
        rejections = counter(
            "rejections", "Answers that were not accepted, by reason; an answer with two reasons counts in both.", "reason"
        )
        self._rejections = {reason: rejections.labels(reason) for reason in sorted(REFUSING)}
        self._warnings = counter("warnings", "Warnings that do not reject their answers.", "code")
        self._models = gauge("model_info", "1 for the model in use.", "livemax", *MODEL)
        self._lost_lines = counter("log_lines_lost", "Log lines that could not be written.")
        kept = counter("kept", "Answers that were to be kept, by what became of them.", "outcome")
        self._kept, self._unkept = (kept.labels(outcome) for outcome in ("kept", "lost"))
        corrections = counter(
            "corrections", "Answers that were corrected, by the digit that was answered and by reason.", "digit", "reason"
        )
        self._corrections = {
            (digit, reason): corrections.labels(digit, reason) for digit in (*map(str, DIGITS), SEVERAL) for reason in REASONS
        }
        sums = gauge(RECENT, "Sums over recent pictures.", "livesum", "of")
        self._sums = {name: sums.labels(name) for name in SUMS}
        self._recent = Recent()
        self._reference: Reference | None = None
        self._served: Gauge | None = None

    def serve(self, model: DigitModel) -> None:
        """Call at start, and when another model takes over. Resets the recent pictures."""
        record = model.record
        served = self._models.labels(record.name, record.version, record.editions["float32"], model.provider)
        if served is self._served:
            return
        if self._served:
            self._served.set(0)
        self._served = served
        served.set(1)
        self._recent, self._reference = Recent(), model.classifier.reference
        for value in self._sums.values():
            value.set(0)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Call at the end of every request."""
        requests, request_seconds = self._of_request(route, method, status)
        requests.inc()
        request_seconds.observe(seconds)

    def count_refusal(self, code: str) -> None:
        """Call when a request, or a picture of a batch, gets a problem."""
        self._of_refusal(code).inc()

    def count_lost_line(self) -> None:
        """Call when a log line could not be written."""
        self._lost_lines.inc()

    def count_kept(self, count: int) -> None:
        """Call when so many answers were kept."""
        self._kept.inc(count)

    def count_unkept(self, count: int) -> None:
        """Call when so many answers were to be kept and were lost."""
        self._unkept.inc(count)

    def count_correction(self, text: str, reason: str) -> None:
        """Call when an answer is corrected for the first time. text: what was answered; reason: one of REASONS."""
        self._corrections[text if len(text) == 1 else SEVERAL, reason].inc()

    def count_in_progress(self, change: int) -> None:
        """Call with 1 when a request with pictures is admitted, and with -1 when it is answered."""
        self._in_progress.inc(change)

    def count_queued(self, change: int) -> None:
        """Call with the number of pictures that begin to wait for a worker; negative when they stop waiting."""
        self._queue_depth.inc(change)

    def count_outcomes(self, outcomes: Sequence[PictureOutcome | TensorOutcome]) -> None:
        """Call after pictures or tensors were worked on together."""
        self._batch_size.observe(len(outcomes))
        for outcome in outcomes:
            for stage, seconds in outcome.seconds.items():
                self._stages[stage].observe(seconds)
            if isinstance(outcome.result, tuple):
                for prediction, measured in zip(outcome.result, outcome.measured, strict=True):
                    self._count_prediction(prediction)
                    self._recent.add(prediction, measured)
            elif isinstance(outcome.result, Reading):  # whose digits are not what the drift's reference was measured on
                for digit in outcome.result.digits:
                    self._count_prediction(digit)
                self._count_warnings(outcome.result.warnings)
        for name, value in self._recent.sums().items():
            self._sums[name].set(value)

    def _count_prediction(self, prediction: Prediction | ReadDigit) -> None:
        self._predictions[prediction.digit].inc()
        self._confidence.observe(prediction.confidence)
        self._count_warnings(prediction.warnings)

    def _count_warnings(self, warnings: Sequence[ReadingWarning]) -> None:
        for warning in warnings:
            (self._rejections.get(warning.code) or self._warnings.labels(warning.code)).inc()

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The series of all workers in the format that the header Accept asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(_Exposition(self._source, self._reference)), content_type


def _codes_below(kind: type[RequestError]) -> Iterator[str]:
    """The codes of all errors in the tree below one."""
    for each in kind.__subclasses__():
        yield each.code
        yield from _codes_below(each)


def _open(folder: Path | None) -> tuple[Collector, CollectorRegistry, Callable[[], None]]:
    """The collector of all workers, the registry of this one, and the function that closes its files."""
    registry = CollectorRegistry()
    if folder is None:
        return registry, registry, lambda: None
    from app.telemetry.multiprocess import SharedMetrics  # noqa: PLC0415  needs fcntl, which Windows does not have

    shared = SharedMetrics(folder)
    return shared, registry, shared.close


class _Exposition(Collector):
    """The series as Prometheus gets them."""

    def __init__(self, source: Collector, reference: Reference | None) -> None:
        self._source = source
        self._reference = reference

    def collect(self) -> Iterator[Metric]:
        """Yields the families. Gauges of drift replace the sums, and only the model in use appears."""
        for family in self._source.collect():
            if family.name == f"numeral_{RECENT}":
                yield from describe({sample.labels["of"]: sample.value for sample in family.samples}, self._reference)
                continue
            if family.name == "numeral_model_info":
                family.samples = [sample for sample in family.samples if sample.value]
            yield family
