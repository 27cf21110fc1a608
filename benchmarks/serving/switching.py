"""Changes models under load in a running service: ``python -m benchmarks.serving.switching http://127.0.0.1:8000``.

Eight clients post as fast as they get answers, while two versions are activated in turns.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from threading import Event
from typing import Annotated

import httpx2
import typer

from benchmarks.pictures import canvas, encode

CLIENTS = 8
PATIENCE = 60.0  # seconds for an answer


def main(
    url: Annotated[str, typer.Argument(help="Of the service, which takes no keys and listens on loopback.")],
    seconds: Annotated[float, typer.Option(help="How long.")] = 40,
    versions: Annotated[tuple[str, str], typer.Option(help="To activate in turns.")] = ("1", "2"),
) -> None:
    """Prints what the clients were answered, and how long the switches took."""
    over, answers = Event(), Counter[str]()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(_post, url, over, answers) for _ in range(CLIENTS)]
        try:
            took = _switch(url, versions, time.monotonic() + seconds)
        finally:
            over.set()
        for client in clients:
            client.result()
    typer.echo("; ".join(f"{count:,} × {what}" for what, count in sorted(answers.items())))
    typer.echo(f"{len(took)} switches, median {median(took):.2f} s, longest {max(took):.2f} s")


def _post(url: str, over: Event, answers: Counter[str]) -> None:
    drawing = encode(canvas(3))
    with httpx2.Client(timeout=PATIENCE) as client:
        while not over.is_set():
            try:
                answer = client.post(f"{url}/predict", content=drawing)
                answers[f"{answer.status_code} by version {answer.json().get('model', {}).get('version')}"] += 1
            except httpx2.HTTPError as error:
                answers[type(error).__name__] += 1


def _switch(url: str, versions: tuple[str, str], until: float) -> list[float]:
    """Seconds that each switch took."""
    took: list[float] = []
    while time.monotonic() < until:
        begun = time.monotonic()
        httpx2.post(f"{url}/admin/models/{versions[len(took) % 2]}/activate", timeout=PATIENCE).raise_for_status()
        took.append(time.monotonic() - begun)
    return took


if __name__ == "__main__":
    typer.run(main)
