"""The page as it is served: its addresses, its caching, and the security headers of every response."""

import re
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.reading import batch
from app.settings import Settings
from app.web.application import create_app
from app.web.headers import HEADERS
from app.web.page import onnxruntime_web, pages
from benchmarks.pictures import canvas, encode
from tests.conftest import MakeStore
from tests.versions import SHIPPED

POLICY = HEADERS["Content-Security-Policy"]


def addresses(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"#]+)"', html)


def test_the_page_and_the_documentation_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/docs"):
        html = client.get(path).text

        assert "//" not in re.sub(r"<!--.*?-->", "", html)
        assert re.findall(r"<script(?![^>]*src)|<style|\sstyle=|\son\w+=", html) == []
        for address in addresses(html):
            assert client.get(f"/{address}").status_code == 200, address


def test_every_module_that_is_imported_is_served(client: TestClient) -> None:
    folder = f"/page/{pages.digest()}"
    for path in pages.STATIC.glob("*.js"):
        script = client.get(f"{folder}/{path.name}")

        assert script.headers["content-type"].startswith(("text/javascript", "application/javascript"))
        for name in re.findall(r'from "\./([^"]+)"', script.text):
            assert (pages.STATIC / name).is_file()


def test_files_are_cached_for_good_under_their_release_and_revalidated_under_another(client: TestClient) -> None:
    kept = client.get(f"/page/{pages.digest()}/main.js")
    asked = client.get("/page/another/main.js")

    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert asked.headers["cache-control"] == "no-cache"
    assert kept.headers["content-encoding"] == "gzip"
    assert kept.text == asked.text


def test_unchanged_files_are_not_sent_again(client: TestClient) -> None:
    for path in ("/", "/docs", f"/page/{pages.digest()}/page.css"):
        etag = client.get(path).headers["etag"]
        again = client.get(path, headers={"If-None-Match": etag})
        weakened = client.get(path, headers={"If-None-Match": f'"other", W/{etag}'})

        assert (again.status_code, again.content) == (304, b"")
        assert weakened.status_code == 304


def test_a_change_of_any_file_changes_the_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = pages.digest()
    shutil.copytree(pages.STATIC, tmp_path / "static")
    monkeypatch.setattr(pages, "STATIC", tmp_path / "static")
    monkeypatch.setattr(onnxruntime_web, "FOLDER", tmp_path / "static" / "onnxruntime-web")

    assert pages.digest() == before
    (tmp_path / "static" / "dom.js").write_text("// changed")
    assert pages.digest() != before


def test_files_outside_the_folder_are_not_served(client: TestClient) -> None:
    for path in ("/page/x/../page.py", "/page/x/%2e%2e/page.py", "/page/x/", "/page/x/none.js"):
        response = client.get(path)

        assert response.status_code == 404
        assert response.json()["code"] == "not-found"


def test_the_runtime_is_sent_as_stored_and_cached_for_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(pages.STATIC, tmp_path / "static", ignore=shutil.ignore_patterns("onnxruntime-web"))
    monkeypatch.setattr(pages, "STATIC", tmp_path / "static")
    monkeypatch.setattr(onnxruntime_web, "FOLDER", tmp_path / "static" / "onnxruntime-web")
    onnxruntime_web.install({onnxruntime_web.MODULE: b"export {};", onnxruntime_web.WASM: b"\0asm" * 1000})
    with TestClient(create_app(Settings(model_version=SHIPPED))) as client:
        found = re.search(r'data-runtime="([^"]+)"', client.get("/").text)
        assert found
        wasm = client.get(f"/{found[1]}/{onnxruntime_web.WASM}")
        module = client.get(f"/{found[1]}/{onnxruntime_web.MODULE}")

    assert wasm.content == b"\0asm" * 1000
    assert (wasm.headers["content-type"], wasm.headers["content-encoding"]) == ("application/wasm", "gzip")
    assert wasm.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert module.headers["content-type"].startswith(("text/javascript", "application/javascript"))


def test_without_the_runtime_the_page_does_not_name_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_store: MakeStore
) -> None:
    monkeypatch.setattr(onnxruntime_web, "FOLDER", tmp_path / "none")
    with TestClient(create_app(Settings(model_store=make_store()))) as client:
        assert 'data-runtime=""' in client.get("/").text


def test_the_policy_allows_only_scripts_of_this_origin() -> None:
    assert "default-src 'none'" in POLICY
    assert "script-src 'self' 'wasm-unsafe-eval';" in POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY
    assert "http" not in POLICY


def test_every_answer_carries_the_security_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED, cors_origins=["https://draw.example"]))) as client:
        preflight = {"Origin": "https://draw.example", "Access-Control-Request-Method": "POST"}
        answers = {
            200: client.post("/predict", content=encode(canvas(3))),
            304: client.get("/", headers={"If-None-Match": client.get("/").headers["etag"]}),
            404: client.get("/none"),
            405: client.get("/predict"),
            415: client.post("/predict", content=b"text"),
        }
        others = [client.options("/predict", headers=preflight), client.get(f"/page/{pages.digest()}/icon.svg")]
        monkeypatch.setattr(batch, "read_png_header", lambda *_: 1 / 0)
        answers[500] = client.post("/predict", content=b"x")

    assert {status: answer.status_code for status, answer in answers.items()} == {status: status for status in answers}
    for answer in [*answers.values(), *others]:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_a_name_that_no_file_can_have_is_not_found(client: TestClient) -> None:
    assert client.get("/page/x/" + "a" * 300).status_code == 404
