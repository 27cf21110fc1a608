"""Services as tutorials write them: FastAPI with onnxruntime in ``def``, and with torch in ``async def``."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, UploadFile

from app.reading.answer import Prediction
from app.reading.decode import opencv
from app.reading.decode.picture import decode
from app.reading.find.steps import find_digits
from app.reading.reader import Reader
from app.runtime.loading import load_model, load_reader
from app.settings import Settings

DIGITS = 10  # logits of digits; the last one is that of no digit


def create_onnx() -> FastAPI:
    """A thread of Starlette's pool a request."""
    loaded: dict[str, Reader] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        opencv.tune()
        loaded["reader"] = load_reader(Settings())
        yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/predict")
    def predict(file: UploadFile) -> Prediction:
        return loaded["reader"].read(file.file.read())

    return app


def create_torch() -> FastAPI:
    """All of it on the event loop, with one thread of torch's."""
    import torch  # noqa: PLC0415

    from app.reading.infer.store import find_model  # noqa: PLC0415
    from training.learning.checkpoints import load_checkpoint  # noqa: PLC0415
    from training.learning.evaluate import infer  # noqa: PLC0415

    opencv.tune()
    torch.set_num_threads(1)
    settings = Settings()
    stored = find_model(settings.model_store, settings.model_name, settings.model_version)
    finder = load_model(settings).finder
    model = load_checkpoint(stored.folder / "model.pth", stored.record.architecture)
    app = FastAPI()

    @app.post("/predict")
    async def predict(file: UploadFile) -> dict[str, Any]:
        (steps,) = find_digits(finder, decode(await file.read(), settings))
        logits = infer(model, torch.from_numpy(steps.glyph.pixels[None]))
        probabilities = logits[:, :DIGITS].softmax(dim=1)[0]
        return {"digit": int(probabilities.argmax()), "probabilities": probabilities.tolist()}

    return app
