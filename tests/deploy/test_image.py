"""The image that the Dockerfile builds. `make image-smoke` builds it, which takes minutes; VARIANT=gpu builds CUDA's."""

import os
from collections.abc import Iterator

import httpx2
import pytest

from benchmarks.pictures import canvas, encode
from tests.deploy.engines import ROOT, Engine, find_engine, free_port
from tests.versions import SHIPPED

pytestmark = pytest.mark.image

VARIANT = os.environ.get("VARIANT", "cpu")
OPTIONS = (f"--build-arg=VARIANT={VARIANT}", "--build-arg=VERSION=1.2.3", "--build-arg=REVISION=a1b2c3")
MOST_BYTES = 350_000_000  # beyond the base, unpacked
IN_THE_LAYERS = "cd / && find opt/venv srv/model_store -printf '%p %M %U:%G %s %T@ %l\\n' -type f -exec sha256sum {} + | sort"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = find_engine()
    if found is None:
        pytest.skip("neither Docker's engine nor, for root, buildah is here to build the image")
    yield found
    found.close()


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    return engine.build(*OPTIONS)


@pytest.fixture(scope="module")
def address(engine: Engine, image: str) -> Iterator[str]:
    with engine.serve(image) as address:
        yield address


def test_a_posted_photo_is_read(address: str) -> None:
    answer = httpx2.post(f"http://{address}/predict", content=(ROOT / "docs/examples/seven.jpg").read_bytes())

    assert (answer.status_code, answer.json()["digit"]) == (200, 7)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "HEIF"])
def test_every_format_is_read(address: str, kind: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()

    answer = httpx2.post(f"http://{address}/predict", content=encode(canvas(3), kind))

    assert (answer.status_code, answer.json()["digit"]) == (200, 3)


def test_a_large_form_needs_no_disk(address: str) -> None:
    answer = httpx2.post(f"http://{address}/predict", files={"file": bytes(15_000_000)}, timeout=30)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-image")


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/model", "/health/live"])
def test_every_page_is_served(address: str, path: str) -> None:
    assert httpx2.get(f"http://{address}{path}", follow_redirects=True).status_code == 200


def test_its_healthcheck_detects_a_missing_service(engine: Engine, image: str, address: str) -> None:
    check = engine.config(image).healthcheck

    assert engine.run(image, *check, NUMERAL_PORT=address.rpartition(":")[2]).returncode == 0
    assert engine.run(image, *check, NUMERAL_PORT=str(free_port())).returncode != 0


def test_it_runs_without_privileges_and_cannot_write(engine: Engine, image: str) -> None:
    user, wrote = engine.run(image, "id", "-u"), engine.run(image, "touch", "/srv/model_store/written")

    assert user.stdout.strip() == "10001"
    assert "Read-only file system" in wrote.stderr


def test_its_labels_name_the_image_and_its_source(engine: Engine, image: str) -> None:
    labels = {name.rpartition(".")[2]: value for name, value in engine.config(image).labels.items()}

    assert (labels["title"], labels["licenses"]) == ("Numeral", "MIT")
    assert (labels["version"], labels["revision"]) == ("1.2.3", "a1b2c3")
    assert "python" in labels["name"]


def test_it_has_neither_compiler_nor_torch_nor_checkpoints(engine: Engine, image: str) -> None:
    tools = engine.run(image, "sh", "-c", "command -v cc gcc g++ clang ld as make cmake")
    packages = engine.run(image, "python", "-c", "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('pip'))")
    checkpoints = engine.run(image, "find", "/srv", "-name", "*.pth")

    assert tools.stdout == ""
    assert packages.stdout.strip() == "None None"
    assert (checkpoints.returncode, checkpoints.stdout) == (0, "")


@pytest.mark.skipif(VARIANT != "cpu", reason="CUDA's libraries alone are larger")
def test_the_image_is_small(engine: Engine, image: str) -> None:
    beyond = engine.size(image) - engine.size(engine.config(image).labels["org.opencontainers.image.base.name"])

    print(f"{beyond:,} bytes beyond the base")  # noqa: T201  the figure that the docs state
    assert beyond <= MOST_BYTES


@pytest.mark.skipif(VARIANT != "gpu", reason="for VARIANT=gpu")
def test_cuda_lacks_only_the_driver(engine: Engine, image: str) -> None:
    code = (
        "import ctypes, pathlib, onnxruntime as o; o.preload_dlls(); folder = pathlib.Path(o.__file__).parent / 'capi';"
        "ctypes.CDLL(folder / 'libonnxruntime_providers_shared.so');"
        "ctypes.CDLL(folder / 'libonnxruntime_providers_cuda.so')"
    )
    loaded = engine.run(image, "python", "-c", code)

    assert loaded.returncode == 0 or "libcuda.so.1" in loaded.stderr.splitlines()[-1], loaded.stderr


@pytest.mark.skipif(VARIANT != "gpu", reason="for VARIANT=gpu")
def test_the_model_can_be_converted_to_float16(engine: Engine, image: str) -> None:
    code = f"from app.reading.cuda import to_float16; to_float16(open('/srv/model_store/digits/{SHIPPED}/model.onnx', 'rb').read())"
    made = engine.run(image, "python", "-c", code)

    assert made.returncode == 0, made.stderr


def test_the_same_sources_give_the_same_files(engine: Engine, image: str) -> None:
    again = engine.build(*OPTIONS, "--no-cache")

    first, second = (set(engine.run(each, "sh", "-c", IN_THE_LAYERS).stdout.splitlines()) for each in (image, again))

    assert len(first) > 1000
    assert first ^ second == set()
