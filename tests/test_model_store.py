"""The model store, as Triton and OpenVINO Model Server look at it."""

import json
import re
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from fastapi.testclient import TestClient
from google.protobuf import text_format

from app.reading.infer.record import FOLDERS, Edition
from app.reading.infer.store import find_model, read_pointer
from app.settings import Settings
from tests.servers import serving
from tests.versions import SHIPPED
from training.publishing.triton import config as written

model_config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="tritonclient is not installed")

STORE = Settings().model_store
TYPES = {
    "TYPE_FP32": "tensor(float)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_INT32": "tensor(int32)",
}
DOCS = Path(__file__).parent.parent / "docs" / "model-store.md"
EDITIONS: dict[str, Edition] = {folder.format("digits"): edition for edition, folder in FOLDERS.items()}
MODELS = list(EDITIONS)
ASKED = ["digits", "digits_uint8"]  # what the service itself speaks of in the protocol


def config(name: str) -> Any:
    return text_format.Parse((STORE / name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def shapes(tensors: Any, batch: list[int]) -> list[tuple[str, str, list[int]]]:
    """Name, type and shape of the tensors in a config, -1 where an axis is free, after the axis of the batch."""
    return [
        (
            tensor.name,
            TYPES[model_config_pb2.DataType.Name(tensor.data_type)],
            [*batch, *(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)],
        )
        for tensor in tensors
    ]


def shapes_of_file(tensors: Any) -> list[tuple[str, str, list[int]]]:
    return [(put.name, put.type, [side if isinstance(side, int) else -1 for side in put.shape]) for put in tensors]


@pytest.mark.parametrize("name", MODELS)
def test_tritons_config_says_what_the_files_are(name: str) -> None:
    told = config(name)
    files = sorted((STORE / name).glob(f"*/{told.default_model_filename or 'model.onnx'}"))

    assert told.name == name
    assert files
    for file in files:
        session = ort.InferenceSession(file)
        batch = [-1] if told.max_batch_size else []
        assert shapes_of_file(session.get_inputs()) == shapes(told.input, batch)
        assert shapes_of_file(session.get_outputs()) == shapes(told.output, batch)


@pytest.mark.parametrize("name", MODELS)
def test_a_versions_folder_has_one_onnx_file(name: str) -> None:
    folders = [folder for folder in (STORE / name).iterdir() if folder.is_dir()]

    assert SHIPPED in {folder.name for folder in folders}
    for folder in folders:
        assert folder.name.isdigit()
        assert len(list(folder.glob("*.onnx"))) == 1  # OpenVINO Model Server takes any of several


@pytest.mark.parametrize("name", MODELS)
def test_triton_serves_the_version_that_the_pointer_names(name: str) -> None:
    served = read_pointer(STORE, "digits")

    assert list(config(name).version_policy.specific.versions) == [int(served)]
    assert (STORE / name / served).is_dir()


def test_one_record_names_every_file_of_the_version() -> None:
    model = find_model(STORE, "digits", SHIPPED)
    files = {file.relative_to(STORE).as_posix() for name in MODELS for file in (STORE / name / SHIPPED).iterdir()}

    model.verify()
    assert set(model.record.editions) == set(EDITIONS.values())
    for_people = ("model.json", "card.md", "report.md", "misread.png")
    assert files - set(model.record.sha256) == {model.record.key(name) for name in for_people}


@pytest.mark.parametrize("name", ASKED)
def test_the_service_tells_of_the_same_models(client: TestClient, name: str) -> None:
    told, metadata = config(name), client.get(f"/v2/models/{name}").json()

    assert metadata["platform"] == told.platform
    for ours, theirs in (("inputs", told.input), ("outputs", told.output)):
        as_told = [(put["name"], "TYPE_" + put["datatype"]) for put in metadata[ours]]
        assert as_told == [(put.name, model_config_pb2.DataType.Name(put.data_type)) for put in theirs]
    assert told.max_batch_size == Settings().max_batch_files


def test_the_stored_configs_are_those_that_are_published() -> None:
    served = read_pointer(STORE, "digits")

    for name, edition in EDITIONS.items():
        assert (STORE / name / "config.pbtxt").read_text() == written("digits", edition, served)


def test_the_documented_program_reads_the_digits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, program = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(DOCS.parent.parent)

    with serving(Settings(model_version=SHIPPED)) as port:
        exec(program.replace("127.0.0.1:8000", f"127.0.0.1:{port}"), {})

    assert capsys.readouterr().out.startswith("[7 2 1 0 4]")


def test_the_documented_program_reads_a_picture_by_the_graph_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program, _ = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(DOCS.parent.parent)

    exec(program, {})

    assert re.fullmatch(r"5 True \[.*\]\n", capsys.readouterr().out)


def test_the_documented_config_of_openvino_model_server_names_what_is_there() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    models = [entry["config"] for entry in json.loads(block)["model_config_list"]]

    assert sorted(model["name"] for model in models) == sorted(MODELS)
    for model in models:
        assert (STORE / Path(model["base_path"]).name).is_dir()
        assert model["model_version_policy"] == {"specific": {"versions": [int(read_pointer(STORE, "digits"))]}}
