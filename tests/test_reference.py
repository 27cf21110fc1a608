"""The reference in docs/ is what the code says, and its examples do what they show."""

import ast
import doctest
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.errors import RequestError
from app.reading.infer.store import read_pointer
from app.settings import Settings
from app.web.openapi import EXAMPLES
from benchmarks.pictures import encode
from docs import reference
from tests.servers import serving
from tests.test_docs import ADDRESS, blocks, commands, run
from tests.versions import SHIPPED

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
HTTP = reference.HTTP.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(Settings(model_version=SHIPPED)) as port:
        yield f"127.0.0.1:{port}"


def blank() -> bytes:
    """A sheet of paper that nobody wrote on."""
    return encode(Image.new("RGB", (64, 64), "white"))


def test_the_http_reference_is_what_the_code_says() -> None:
    assert reference.describe_http(HTTP) == HTTP, "make reference writes it anew"


def test_the_command_line_is_described_as_it_is() -> None:
    assert reference.describe_cli() == reference.CLI.read_text(encoding="utf-8"), "make reference writes it anew"


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.code)
def test_each_error_has_a_section_with_a_remedy(kind: type[RequestError]) -> None:
    section = re.search(rf"^### {kind.code}\n(.*?)(?=^##|\Z)", HTTP, re.MULTILINE | re.DOTALL)

    assert set(reference.REMEDIES) == set(EXAMPLES)
    assert section
    assert reference.REMEDIES[kind] in section[1]


def test_each_warning_is_explained() -> None:
    calls = [
        call
        for module in (ROOT / "app" / "reading").rglob("*.py")
        for call in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "ReadingWarning"
    ]
    codes = {str(code.value) for call in calls if isinstance(code := call.args[0], ast.Constant)}
    numbers = (DOCS / "numbers.md").read_text(encoding="utf-8")

    assert len(codes) > 10
    assert {code for code in codes if f"| `{code}` |" not in HTTP + numbers} == set()


def test_the_answer_that_is_shown_is_the_answer(client: TestClient) -> None:
    shown, problem = map(json.loads, blocks(reference.HTTP, "json"))

    answer = client.post("/predict", content=(DOCS / "examples" / "seven.jpg").read_bytes()).json()
    refusal = client.post("/predict", content=blank()).json()

    assert answer.pop("probabilities") == pytest.approx(shown.pop("probabilities"), abs=1e-3)  # decoders and kernels round
    assert answer.pop("confidence") == pytest.approx(shown.pop("confidence"), abs=1e-3)
    assert answer == shown
    assert {**refusal, "request_id": problem["request_id"]} == problem


def test_the_calls_that_are_shown_are_answered(address: str, tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(DOCS)

    answers = [run(command, tmp_path, address) for command in commands(reference.HTTP)]

    assert len(answers) == 3
    assert all('"digit":7' in answer for answer in answers)


def test_the_python_that_is_shown_works(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", httpx2)
    monkeypatch.chdir(ROOT)
    (code,) = blocks(reference.HTTP, "python")

    exec(code.replace(ADDRESS, address), {})

    first, second = capsys.readouterr().out.splitlines()
    assert (first[0], second) == ("3", "7")


def test_the_library_does_what_its_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = DOCS / "library.md"
    code = "\n".join(blocks(page, "pycon"))
    examples = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
    told: list[str] = []

    result = doctest.DocTestRunner().run(examples, out=told.append)

    assert result.attempted > 15
    assert result.failed == 0, "".join(told)


def test_the_model_card_that_is_shown_is_the_served_versions() -> None:
    served = read_pointer(ROOT / "model_store", "digits")
    shown = re.findall(r"digits/(\w+)/card\.md", (DOCS / "model-card.md").read_text(encoding="utf-8"))

    assert set(shown) == {served}


def test_each_error_code_that_the_questions_name_has_a_section() -> None:
    named = re.findall(r"\[`([a-z0-9-]+)`\]\(http\.md#([a-z0-9-]+)\)", (DOCS / "faq.md").read_text(encoding="utf-8"))

    assert len(named) > 10
    assert {code for code, anchor in named if code != anchor} == set()
    assert {code for code, _ in named} <= {kind.code for kind in EXAMPLES}


def test_each_experiment_has_a_row_in_the_table_at_the_top() -> None:
    table, *sections = re.split(r"^## (.*)$", (DOCS / "experiments.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in sections[::2]}

    assert len(anchors) > 20
    assert set(re.findall(r"^\| \[[^\]]+\]\(#([^)]+)\)", table, re.MULTILINE)) == anchors
