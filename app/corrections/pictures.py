"""Pictures as they are kept: encoded anew, and in a room of so many bytes until they are written."""

from threading import RLock

import cv2

from app.reading.decode.picture import Picture

PLAIN = 2**17  # pixels of a picture that is kept as PNG; a larger one is kept as JPEG
QUALITY = 92  # of that JPEG, of 100


class ByteBudget:
    """Bytes that encoded pictures may take. Safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = RLock()  # a collection of cycles may end a picture in the thread that holds it

    def encode(self, picture: Picture) -> "Encoded | None":
        """A picture as it is kept; None if there is no room for it."""
        data = encode(picture)
        with self._lock:
            if len(data) > self._left:
                return None
            self._left -= len(data)
        return Encoded(data, self)

    def give_back(self, size: int) -> None:
        """Makes room again."""
        with self._lock:
            self._left += size


class Encoded:
    """A picture as it is kept. It takes its room as long as it lives: until it is written, or its client has hung up."""

    __slots__ = ("_room", "data")

    def __init__(self, data: bytes, room: ByteBudget) -> None:
        self.data, self._room = data, room

    def __del__(self) -> None:
        self._room.give_back(len(self.data))


def encode(picture: Picture) -> bytes:
    """A picture as a new file, of its pixels alone: PNG where it is small, JPEG where it is large."""
    pixels = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR)
    small = pixels.shape[0] * pixels.shape[1] <= PLAIN
    done, data = cv2.imencode(".png", pixels) if small else cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    if not done:
        raise ValueError("The picture cannot be encoded.")
    return bytes(data)
