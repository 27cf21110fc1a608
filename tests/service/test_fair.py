"""No single client holds the service: heavy batches, from a real server's point of view."""

import threading
import time

from app.settings import Settings
from benchmarks.pictures import encode, photo
from tests import plain_http
from tests.fuzz.nasty import png
from tests.servers import serving, wait_until_in_progress

HEAVY = png(7_000, 7_000, colour=2)  # legal, and decoded for a second
PHOTO = encode(photo(3), "JPEG")
BATCHES = 3
MOST_SECONDS = 4.0  # on a busy machine; a photo waits for no heavy picture, of which each takes a second


def send_batch(url: str) -> None:
    plain_http.post(f"{url}/predict/batch", files=[("files", HEAVY)] * 64, timeout=60)


def test_photos_are_answered_while_batches_of_heavy_pictures_are_read() -> None:
    """Of one batch, test_wall.py has it."""
    with serving(Settings()) as port:
        url = f"http://127.0.0.1:{port}"
        senders = [threading.Thread(target=send_batch, args=(url,)) for _ in range(BATCHES)]
        for sender in senders:
            sender.start()
        wait_until_in_progress(url, BATCHES)
        waited = []
        for _ in range(8):
            began = time.monotonic()
            answer = plain_http.post(f"{url}/predict", content=PHOTO, timeout=60)
            waited.append(time.monotonic() - began)
            assert answer.json()["digit"] == 3
        for sender in senders:
            sender.join()

    assert max(waited) < MOST_SECONDS
