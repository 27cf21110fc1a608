"""BentoML with its adaptive batching: ``bentoml serve benchmarks.serving.contenders.bentoml_app:Digits``."""

from pathlib import Path
from typing import Any

import bentoml

from app.reading.decode import opencv
from app.reading.requests import PictureRequest
from app.runtime.loading import load_reader
from app.settings import Settings

BATCH = 16


@bentoml.service(workers=1, traffic={"timeout": 30, "max_concurrency": 1_024})
class Digits:
    """The service's own reader, on batches."""

    def __init__(self) -> None:
        opencv.tune()
        self.reader = load_reader(Settings())

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=60_000, route="/predict")
    def predict(self, file: list[Path]) -> list[dict[str, Any]]:
        """All together."""
        return [
            outcome.result[0].model_dump(mode="json") if isinstance(outcome.result, tuple) else {"error": str(outcome.result)}
            for outcome in self.reader.read_together([PictureRequest(path.read_bytes) for path in file])
        ]
