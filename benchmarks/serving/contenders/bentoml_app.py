"""BentoML, with its adaptive batching: ``bentoml serve benchmarks.serving.contenders.bentoml_app:Digits``."""

from pathlib import Path
from typing import Any

import bentoml

from app import opencv
from app.main import load_reader
from app.predict import PictureRequest
from app.schemas import Prediction
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
        readings = self.reader.read_together([PictureRequest(path.read_bytes) for path in file])
        return [
            reading.result.model_dump(mode="json") if isinstance(reading.result, Prediction) else {"error": str(reading.result)}
            for reading in readings
        ]
