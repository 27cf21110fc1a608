"""LitServe, which batches waiting requests: ``python -m benchmarks.serving.contenders.litserve_app PORT``."""

import sys
from typing import Any

import litserve
from fastapi import Request

from app.reading.decode import opencv
from app.reading.requests import PictureOutcome, PictureRequest, most_prominent
from app.runtime.loading import load_reader
from app.settings import Settings

BATCH = 16


class Digits(litserve.LitAPI):
    """The service's own reader, on batches."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Loads the model, in the process that infers."""
        opencv.tune()
        self.reader = load_reader(Settings())

    def decode_request(self, request: Request) -> bytes:
        """The file's bytes; LitServe hands on the form."""
        data: bytes = request["file"].file.read()
        return data

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """As they are."""
        return inputs

    def predict(self, x: list[bytes]) -> list[PictureOutcome]:
        """All together."""
        return self.reader.read_together([PictureRequest(lambda data=data: data) for data in x])  # type: ignore[misc]

    def unbatch(self, output: list[PictureOutcome]) -> list[PictureOutcome]:
        """As they are."""
        return output

    def encode_response(self, output: PictureOutcome) -> dict[str, Any]:
        """The prediction's JSON."""
        prediction = most_prominent(output.result)
        if isinstance(prediction, Exception):
            raise prediction
        return prediction.model_dump(mode="json")


if __name__ == "__main__":
    api = Digits(max_batch_size=BATCH, batch_timeout=0.002, api_path="/predict")
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        port=int(sys.argv[1]), host="127.0.0.1", log_level="warning", generate_client_file=False
    )
