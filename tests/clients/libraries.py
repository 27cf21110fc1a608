"""Requests, byte by byte, as the HTTP libraries of many languages make them.

Where a library is at hand, tests run it; these are of those that are not. Each was written down as the library is known, not
captured from it: the order and case of a part's headers, quotes or none, a part's own length, and how the boundary looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Part:
    """A part of a form. data: an example's name stands for its bytes."""

    headers: Headers
    data: str = "seven.jpg"
    own_length: bool = False  # OkHttp, Ktor and Spring say in each part how long it is


@dataclass(frozen=True)
class Sent:
    """A request: a form of parts, or one picture as the body."""

    headers: Headers
    parts: tuple[Part, ...] = ()
    boundary: str = ""
    path: str = "/predict"
    chunked: bool = False
    answer: tuple[int | str, ...] = field(default=(7,))

    def to_bytes(self, host: str, pictures: Mapping[str, bytes]) -> bytes:
        """Everything that goes over the connection."""
        body = self._form(pictures) if self.parts else pictures["seven.jpg"]
        length = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {len(body)}"
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {host}",
            length,
            *(f"{key}: {value}" for key, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + (_in_chunks(body) if self.chunked else body)

    def _form(self, pictures: Mapping[str, bytes]) -> bytes:
        form = b""
        for part in self.parts:
            data = pictures.get(part.data, b"text")
            headers = {**part.headers, **({"Content-Length": str(len(data))} if part.own_length else {})}
            form += f"--{self.boundary}\r\n".encode()
            form += "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode() + b"\r\n" + data + b"\r\n"
        return form + f"--{self.boundary}--\r\n".encode()


def _in_chunks(body: bytes, size: int = 8192) -> bytes:
    pieces = (body[place : place + size] for place in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def form(boundary: str, *parts: Part, kind: str = "multipart/form-data; boundary={}", **options: object) -> Sent:
    """A form, with the header that names its boundary."""
    return Sent({"Content-Type": kind.format(boundary)}, parts, boundary, **options)  # type: ignore[arg-type]


DISPOSITION = "Content-Disposition"
DART = "dart-http-boundary-8Vz+x_2nLQ.TeD7f-kAq3RrVb0uYw1Gm5sHcJoXpZiN9aEtKdl6"
WEBKIT = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
UUID = "0c3f3f7b-6f7c-4ea5-9c43-3f2f4f2f0c55"
H2C = {
    "Connection": "Upgrade, HTTP2-Settings",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "Upgrade": "h2c",
    "User-Agent": "Java-http-client/21.0.2",
}

LIBRARIES: dict[str, Sent] = {
    "browser, FormData of a Blob": form(
        WEBKIT, Part({DISPOSITION: 'form-data; name="file"; filename="blob"', "Content-Type": "image/jpeg"})
    ),
    "browser, FormData of a file beyond ASCII": form(
        WEBKIT, Part({DISPOSITION: 'form-data; name="file"; filename="七 %22.jpg"', "Content-Type": "image/jpeg"})
    ),
    "Firefox": form(
        "----geckoformboundary2c1f6a1d4b9e1f2fd8c0", Part({DISPOSITION: 'form-data; name="file"; filename="seven.jpg"', "Content-Type": "image/jpeg"})
    ),
    "jQuery, Rails and PHP, files[]": form(
        WEBKIT,
        Part({DISPOSITION: 'form-data; name="files[]"; filename="seven.jpg"', "Content-Type": "image/jpeg"}),
        Part({DISPOSITION: 'form-data; name="files[]"; filename="three.png"', "Content-Type": "image/png"}, "three.png"),
        path="/predict/batch", answer=(7, 3),
    ),
    "axios, files[0]": form(
        "axios-1.7.2-boundary-aB3dE5fG7hJ9kL1mN3pQ5rS7t",
        Part({DISPOSITION: 'form-data; name="files[0]"; filename="seven.jpg"', "Content-Type": "image/jpeg"}),
        Part({DISPOSITION: 'form-data; name="files[1]"; filename="three.png"', "Content-Type": "image/png"}, "three.png"),
        path="/predict/batch", answer=(7, 3),
    ),
    "React Native, Android": form(
        UUID, Part({"content-disposition": 'form-data; name="file"; filename="photo.jpg"; filename*=utf-8\'\'photo.jpg', "Content-Type": "image/jpeg"}, own_length=True)
    ),
    "React Native, iOS": form(
        "PgR4lTUXZmYiN7sBhUHoTNzJ9gJ3pRkfPOIAdmCVjyn4nzZ0LRbPHPBiOOHz", Part({"content-disposition": 'form-data; name="file"; filename="photo.jpg"', "content-type": "image/jpeg"})
    ),
    "Flutter, http, from a path": form(
        DART, Part({"content-type": "application/octet-stream", "content-disposition": 'form-data; name="file"; filename="seven.jpg"'})
    ),
    "Flutter, http, from bytes, without a name": form(
        DART, Part({"content-type": "application/octet-stream", "content-disposition": 'form-data; name="file"'})
    ),
    "Flutter, dio": form(
        "--dio-boundary-3542698371", Part({"content-disposition": 'form-data; name="file"; filename="seven.jpg"', "content-type": "application/octet-stream"})
    ),
    "Swift, URLSession, the picture as the body": Sent({"Content-Type": "application/octet-stream"}),
    "Swift, httpBody without a type": Sent({"Content-Type": "application/x-www-form-urlencoded"}),
    "Swift, Alamofire, with a name": form(
        "alamofire.boundary.a3c5f1e09b7d2468", Part({DISPOSITION: 'form-data; name="file"; filename="seven.jpg"', "Content-Type": "image/jpeg"})
    ),
    "Swift, Alamofire, without name and type": form(
        "alamofire.boundary.a3c5f1e09b7d2468", Part({DISPOSITION: 'form-data; name="file"'})
    ),
    "Kotlin, OkHttp and Retrofit": form(
        UUID, Part({DISPOSITION: 'form-data; name="file"; filename="seven.jpg"', "Content-Type": "image/jpeg"}, own_length=True)
    ),
    "Kotlin, Ktor": form(
        "-1b8f7a2d4c-6e5f3a19-7c2d-4b1e5a-3f8d6c2b9a1e7f5d4c3b2a1908",
        Part({DISPOSITION: 'form-data; name=file; filename="seven.jpg"', "Content-Type": "image/jpeg"}, own_length=True),
    ),
    "Java, HttpClient, which asks for HTTP/2": Sent(H2C | {"Content-Type": "application/octet-stream"}),
    "Java, HttpClient, a stream": Sent(H2C | {"Content-Type": "application/octet-stream"}, chunked=True),
    "Java, HttpClient, without a type": Sent(H2C),
    "Java, Spring": form(
        "ioo7Yc-4Fh_rVwXzq2bDkN", Part({DISPOSITION: 'form-data; name="file"; filename="seven.jpg"', "Content-Type": "image/jpeg"}, own_length=True),
        kind="multipart/form-data;boundary={}", chunked=True,
    ),
    "Java, Spring, with a charset": form(
        "ioo7Yc-4Fh_rVwXzq2bDkN", Part({DISPOSITION: 'form-data; name="file"; filename="seven.jpg"', "Content-Type": "image/jpeg"}, own_length=True),
        kind="multipart/form-data;charset=UTF-8;boundary={}",
    ),
    "Java, Apache HttpClient": form(
        "lP4uQx-7s0KdT9vEwR2yZ", Part({DISPOSITION: 'form-data; name="file"; filename="seven.jpg"', "Content-Type": "application/octet-stream", "Content-Transfer-Encoding": "binary"})
    ),
    "C#, bytes without a name": form(UUID, Part({DISPOSITION: "form-data; name=file"}), kind='multipart/form-data; boundary="{}"'),
    "C#, a stream with a name": form(
        UUID, Part({DISPOSITION: "form-data; name=file; filename=seven.jpg; filename*=utf-8''seven.jpg"}), kind='multipart/form-data; boundary="{}"'
    ),
    "C#, a name beyond ASCII": form(
        UUID, Part({DISPOSITION: 'form-data; name=file; filename="=?utf-8?B?5LiDLmpwZw==?="; filename*=utf-8\'\'%E4%B8%83.jpg'}), kind='multipart/form-data; boundary="{}"'
    ),
    "C#, a batch without names": form(
        UUID, Part({DISPOSITION: "form-data; name=files"}), Part({DISPOSITION: "form-data; name=files"}, "text"), Part({DISPOSITION: "form-data; name=files"}, "three.png"),
        kind='multipart/form-data; boundary="{}"', path="/predict/batch", answer=(7, "unsupported-image", 3),
    ),
    "Go, mime/multipart through a pipe": form(
        "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d261", Part({DISPOSITION: 'form-data; name="file"; filename="seven.jpg"', "Content-Type": "application/octet-stream"}),
        chunked=True,
    ),
}  # fmt: skip
