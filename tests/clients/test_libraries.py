"""What the libraries of docs/clients.md send is read: their bytes, or the libraries themselves where they are here."""

import asyncio
import base64
import io
import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import plain_http
from tests.clients.libraries import LIBRARIES, Sent
from tests.servers import receive

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PICTURES = {path.name: path.read_bytes() for path in EXAMPLES.iterdir()}
DOCUMENT = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")


def digits(answer: Any) -> tuple[int | str, ...]:
    results = answer.get("results", [answer])
    return tuple(result.get("digit", result.get("code")) for result in results)


@pytest.mark.parametrize("sent", LIBRARIES.values(), ids=LIBRARIES.keys())
def test_the_bytes_of_each_library_are_read(sent: Sent, address: str) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(sent.to_bytes(f"{host}:{port}", PICTURES))
        head, body = receive(connection)

    assert head.startswith(b"HTTP/1.1 200"), body
    assert digits(json.loads(body)) == sent.answer


CURL = {
    "the body": ["--data-binary", "@seven.jpg", "/predict"],
    "a form": ["-F", "file=@seven.jpg", "/predict"],
    "a form that waits for 100 Continue": ["-H", "Expect: 100-continue", "-F", "file=@seven.jpg", "/predict"],
    "a stream": ["-T", "-", "-X", "POST", "/predict"],
    "HTTP/2 asked for": ["--http2", "--data-binary", "@seven.jpg", "/predict"],
    "a batch": ["-F", "files=@seven.jpg", "/predict/batch"],
    "JSON": ["--json", "@drawing.json", "/predict/canvas"],
}


@pytest.mark.parametrize("arguments", CURL.values(), ids=CURL.keys())
def test_curl_is_answered(arguments: list[str], address: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shutil.copy(EXAMPLES / "seven.jpg", tmp_path)
    (tmp_path / "drawing.json").write_text(json.dumps({"image": base64.b64encode(PICTURES["seven.jpg"]).decode()}))
    command = ["curl", "-sS", "--max-time", "60", *arguments[:-1], address + arguments[-1]]

    done = subprocess.run(command, cwd=tmp_path, input=PICTURES["seven.jpg"], check=True, capture_output=True)

    assert digits(json.loads(done.stdout)) == (7,)


def with_requests(address: str) -> Any:
    requests = pytest.importorskip("requests", reason="requests is not installed")
    return requests.post(f"{address}/predict", files={"file": PICTURES["seven.jpg"]}, timeout=60).json()


def with_urllib3(address: str) -> Any:
    urllib3 = pytest.importorskip("urllib3", reason="urllib3 is not installed")
    return urllib3.request("POST", f"{address}/predict", fields={"file": ("seven.jpg", PICTURES["seven.jpg"])}).json()


def with_httpx(address: str) -> Any:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed; `make test` installs it")
    return httpx.post(f"{address}/predict", files={"file": PICTURES["seven.jpg"]}, timeout=60).json()


def with_aiohttp(address: str) -> Any:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def call() -> Any:
        picture = {"file": io.BytesIO(PICTURES["seven.jpg"])}
        async with aiohttp.ClientSession() as session, session.post(f"{address}/predict", data=picture) as response:
            return await response.json()

    return asyncio.run(call())


@pytest.mark.parametrize("call", [with_requests, with_urllib3, with_httpx, with_aiohttp], ids=lambda call: call.__name__)
def test_pythons_libraries_are_answered(call: Callable[[str], Any], address: str) -> None:
    assert digits(call(address)) == (7,)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def in_place(text: str, address: str) -> str:
    return text.replace("http://127.0.0.1:8000", address)


def test_the_documents_curl_is_answered(address: str) -> None:
    commands = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]

    for command in commands:
        done = subprocess.run(shlex.split(in_place(command, address)), cwd=ROOT, check=True, capture_output=True, timeout=60)
        assert 7 in digits(json.loads(done.stdout)), command
    assert len(commands) >= 3


def test_the_documents_python_is_answered(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("httpx", reason="httpx is not installed; `make test` installs it")
    monkeypatch.chdir(ROOT)

    for code in blocks("python"):
        exec(in_place(code, address), {})

    assert capsys.readouterr().out.split() == ["7", "7", "[3,", "'unsupported-image']", "unsupported-image"]


LANGUAGES = {"curl", "Python", "TypeScript", "React Native and Expo", "Flutter", "Swift", "Kotlin", "Java", "C#"}


def test_the_document_has_each_language_in_about_ten_lines() -> None:
    sections = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]
    lengths = {
        section.splitlines()[0]: re.findall(r"^```\w+\n(.*?)^```", section, re.MULTILINE | re.DOTALL) for section in sections
    }

    assert lengths.keys() >= LANGUAGES
    for language in LANGUAGES:
        assert lengths[language], language
        assert max(len(code.splitlines()) for code in lengths[language]) <= 16, language


def test_every_field_and_path_that_the_document_names_is_served(address: str) -> None:
    served = plain_http.get(f"{address}/openapi.json").json()
    names = set(served["components"]["schemas"]["Prediction"]["properties"]) | set(
        served["components"]["schemas"]["Problem"]["properties"]
    )

    paths = set(re.findall(r"/(?:predict|read)(?:/\w+)?\b", DOCUMENT))
    fields = set(re.findall(r"""answer\[["'](\w+)["']\]|(?:getInt|getString|GetProperty)\("(\w+)"\)""", DOCUMENT))

    assert paths <= served["paths"].keys()
    assert {one or other for one, other in fields} <= names
    assert len(fields) >= 3
