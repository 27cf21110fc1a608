"""The lowest possible cost of an answer: a bare ASGI application, and FastAPI's multipart, neither of which does any work."""

from fastapi import FastAPI, UploadFile
from starlette.types import Receive, Scope, Send


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes the body and answers."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"11")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"digit":0}'})


multipart = FastAPI()


@multipart.post("/predict")
async def predict(file: UploadFile) -> dict[str, int]:
    """Takes the file and answers."""
    return {"digit": len(await file.read()) % 10}


@multipart.get("/health/live")
async def nothing() -> dict[str, str]:
    """Answers."""
    return {"status": "live"}
