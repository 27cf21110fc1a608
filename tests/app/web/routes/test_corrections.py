"""POST and DELETE /corrections: what answers should have been, where they are kept."""

import re
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

pytest.importorskip("sqlalchemy")

from app.corrections.entry import to_pairs
from app.corrections.journal import Journal
from app.settings import Settings
from app.web.access.keys import make_key
from app.web.application import create_app
from app.web.json_body import BOM
from benchmarks.pictures import canvas, encode, photo
from tests.versions import SHIPPED

THREE = encode(canvas(3))
NOBODYS = "f" * 32


def settings(folder: Path, **other: Any) -> Settings:
    chosen: dict[str, Any] = {"keep": "glyphs", "data_dir": folder} | other
    return Settings(model_version=SHIPPED, **chosen)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def keeping(folder: Path) -> Iterator[TestClient]:
    """A service without keys that keeps glyphs."""
    with TestClient(create_app(settings(folder, correction_limit="1000/minute"))) as client:
        yield client


def test_answers_have_an_id_only_where_they_are_kept(keeping: TestClient, client: TestClient) -> None:
    kept, batch = keeping.post("/predict", content=THREE).json(), [("files", THREE), ("files", b"text"), ("files", THREE)]
    results = keeping.post("/predict/batch", files=batch).json()["results"]

    assert "id" not in client.post("/predict", content=THREE).json()
    assert len({kept["id"], results[0]["id"], results[2]["id"]}) == 3
    assert "id" not in results[1]


def test_nothing_is_kept_unless_it_is_turned_on(tmp_path: Path) -> None:
    assert Settings().keep == "off"
    app = create_app(Settings(model_version=SHIPPED, data_dir=tmp_path))
    with TestClient(app) as client:
        answer = client.post("/predict", content=THREE).json()
        service: Any = app.state
        keeper = service.keeper

    assert "id" not in answer
    assert keeper is None  # neither its threads nor its database
    assert list(tmp_path.iterdir()) == []


def test_corrections_are_taken_nowhere_else(client: TestClient) -> None:
    response = client.post("/corrections", json={"id": NOBODYS, "truth": 7})

    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert "/corrections" not in client.get("/openapi.json").json()["paths"]


def test_a_correction_is_taken_at_once_and_again(keeping: TestClient, folder: Path) -> None:
    identity = keeping.post("/predict", content=THREE).json()["id"]

    answers = [keeping.post("/corrections", json={"id": identity, "truth": truth}) for truth in (8, 8, "5", None)]

    assert [answer.status_code for answer in answers] == [201] * 4
    assert [answer.json() for answer in answers] == [{"id": identity, "truth": truth} for truth in ("8", "8", "5", None)]
    journal = Journal.open(settings(folder))
    found = {each.entry.id: each for each in journal.corrected()}[identity]
    journal.close()
    assert (found.entry.text, found.correction.truth, found.reason) == ("3", "", "no-digit")
    assert found.entry.client.startswith("anonymous ")
    assert found.entry.client == found.correction.client


def test_corrections_are_counted_once_by_digit_and_reason(tmp_path: Path) -> None:
    app = create_app(settings(tmp_path))
    with TestClient(app) as client:
        wrong, right = (client.post("/predict", content=THREE).json()["id"] for _ in range(2))
        for identity, truth in ((wrong, 8), (wrong, 8), (wrong, 5), (right, 3)):
            client.post("/corrections", json={"id": identity, "truth": truth})
        app.state.keeper.flush()
        lines = client.get("/metrics").text.splitlines()

    counted = {line for line in lines if line.startswith("numeral_corrections_total") and not line.endswith(" 0.0")}
    assert counted == {
        'numeral_corrections_total{digit="3",reason="wrong-digit"} 1.0',
        'numeral_corrections_total{digit="3",reason="confirmed"} 1.0',
    }
    assert 'numeral_kept_total{outcome="kept"} 2.0' in lines


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "JSON"),
        (b"7", "object"),
        (b'{"truth": 7}', "id"),
        (b'{"id": "x", "truth": 7}', "id"),
        (b'{"id": "%s"}' % NOBODYS.encode(), "truth"),
        (b'{"id": "%s", "truth": 10}' % NOBODYS.encode(), "truth"),
        (b'{"id": "%s", "truth": 7.0}' % NOBODYS.encode(), "truth"),
        (b'{"id": "%s", "truth": true}' % NOBODYS.encode(), "truth"),
        (b'{"id": "%s", "truth": "seven"}' % NOBODYS.encode(), "truth"),
        (b'{"id": "%s", "truth": "1\\n"}' % NOBODYS.encode(), "truth"),
        (b'{"id": "%s", "truth": [7]}' % NOBODYS.encode(), "truth"),
        (b'{"id": "%s", "truth": 7, "digit": 7}' % NOBODYS.encode(), "digit"),
        (b'{"id": "%s", "truth": "\xff"}' % NOBODYS.encode(), "JSON"),
    ],
    ids=[
        "empty", "a number", "no id", "no such id", "no truth", "ten", "a fraction", "a boolean", "a word", "an empty line",
        "a list", "another field", "not UTF-8",
    ],
)  # fmt: skip
def test_what_is_no_correction_is_refused(keeping: TestClient, body: bytes, told: str) -> None:
    response = keeping.post("/corrections", content=body)

    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")
    assert told in response.json()["detail"]


def test_a_correction_of_a_digit_is_one_digit(keeping: TestClient) -> None:
    identity = keeping.post("/predict", content=THREE).json()["id"]

    response = keeping.post("/corrections", json={"id": identity, "truth": "33"})

    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")


def test_a_long_body_is_refused(keeping: TestClient) -> None:
    assert keeping.post("/corrections", content=b" " * 20_000).status_code == 413


def test_a_byte_order_mark_may_stand_before_a_correction_and_a_review(tmp_path: Path) -> None:
    with TestClient(create_app(settings(tmp_path)), **LOCAL) as client:
        identity = client.post("/predict", content=THREE).json()["id"]
        taken = client.post("/corrections", content=BOM + b'{"id": "%s", "truth": 8}' % identity.encode())
        reviewed = client.post(f"/admin/corrections/{identity}", content=BOM + b'{"truth": "8", "status": "accepted"}')

    assert (taken.status_code, reviewed.status_code) == (201, 200)


def test_what_is_deleted_is_gone(keeping: TestClient) -> None:
    identity = keeping.post("/predict", content=THREE).json()["id"]
    keeping.post("/corrections", json={"id": identity, "truth": 8})

    answers = [keeping.delete(f"/corrections/{identity}").status_code for _ in range(2)]

    assert answers == [204, 404]
    assert keeping.post("/corrections", json={"id": identity, "truth": 8}).status_code == 404


@pytest.mark.parametrize(("path", "status"), [(NOBODYS, 404), ("nonsense", 422), ("all", 403)])
def test_what_cannot_be_deleted(keeping: TestClient, path: str, status: int) -> None:
    assert keeping.delete(f"/corrections/{path}").status_code == status


def test_a_key_corrects_and_deletes_what_it_got_and_nothing_else(tmp_path: Path) -> None:
    (phone, phones), (web, webs) = (make_key(name, "predict") for name in ("phone", "web"))
    with TestClient(create_app(settings(tmp_path, api_keys=[str(phones), str(webs)]))) as client:
        mine, other = {"X-API-Key": phone}, {"X-API-Key": web}
        identities = [client.post("/predict", content=THREE, headers=mine).json()["id"] for _ in range(3)]
        client.post("/predict", content=THREE, headers=other)
        nameless = client.post("/corrections", json={"id": identities[0], "truth": 8})
        bobs_try = client.post("/corrections", json={"id": identities[0], "truth": 8}, headers=other)
        unknown = client.post("/corrections", json={"id": NOBODYS, "truth": 8}, headers=other)
        taken = client.post("/corrections", json={"id": identities[0], "truth": 8}, headers=mine)
        bobs_deletion = client.delete(f"/corrections/{identities[0]}", headers=other)
        deleted = client.delete("/corrections/all", headers=mine)
        again = client.delete("/corrections/all", headers=mine)
        bobs_deleted = client.delete("/corrections/all", headers=other)

    assert (nameless.status_code, taken.status_code, bobs_deletion.status_code) == (401, 201, 404)
    assert (bobs_try.status_code, unknown.status_code) == (404, 404)
    assert bobs_try.json()["detail"] == unknown.json()["detail"]
    assert [each.json() for each in (deleted, again, bobs_deleted)] == [{"answers": 3}, {"answers": 0}, {"answers": 1}]


@pytest.mark.usefixtures("patient_limits")
def test_corrections_have_a_limit_of_their_own_and_do_not_count_as_requests(tmp_path: Path) -> None:
    with TestClient(create_app(settings(tmp_path, correction_limit="2/hour", rate_limit="2/hour"))) as client:
        identity = client.post("/predict", content=THREE).json()["id"]
        statuses = [client.post("/corrections", json={"id": identity, "truth": n}).status_code for n in range(3)]
        refused = client.delete(f"/corrections/{identity}")
        predicted = [client.post("/predict", content=THREE).status_code for _ in range(2)]

    assert statuses == [201, 201, 429]
    assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
    assert "retry-after" in refused.headers
    assert predicted == [200, 429]


@pytest.mark.usefixtures("patient_limits")
def test_each_key_has_its_own_limit_of_corrections(tmp_path: Path) -> None:
    (phone, phones), (web, webs) = (make_key(name, "predict") for name in ("phone", "web"))
    with TestClient(create_app(settings(tmp_path, api_keys=[str(phones), str(webs)], correction_limit="1/hour"))) as client:
        statuses = [
            client.delete(f"/corrections/{NOBODYS}", headers={"X-API-Key": key}).status_code for key in (phone, phone, web, web)
        ]

    assert statuses == [404, 429, 404, 429]


def test_answers_come_while_nothing_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(Journal, "add", lambda *_: go_on.wait(100))
    with TestClient(create_app(settings(tmp_path))) as client:
        answers = [client.post("/predict", content=THREE).status_code for _ in range(5)]
        go_on.set()

    assert answers == [200] * 5


def test_pictures_are_kept_only_where_the_setting_says_so(tmp_path: Path) -> None:
    for keep in ("glyphs", "pictures"):
        chosen = settings(tmp_path / keep, keep=keep)
        with TestClient(create_app(chosen)) as client:
            identity = client.post("/predict", content=THREE).json()["id"]
            client.post("/corrections", json={"id": identity, "truth": 8})
        journal = Journal.open(chosen)
        (found,) = journal.corrected(pictures=True)
        journal.close()

        assert (found.entry.picture is not None) == (keep == "pictures")
        assert found.entry.glyphs.shape == (1, 28, 28)


def test_each_picture_of_a_batch_is_kept(tmp_path: Path) -> None:
    chosen = settings(tmp_path, keep="pictures", deadline_seconds=100)
    large = encode(photo(7, (1024, 768)), "JPEG")
    with TestClient(create_app(chosen)) as client:
        results = client.post("/predict/batch", files=[("files", large)] * chosen.max_batch_files).json()["results"]
        client.post("/corrections", json={"id": results[-1]["id"], "truth": 7})
    journal = Journal.open(chosen)
    (found,), count = journal.corrected(pictures=True), journal.amounts().answers
    journal.close()

    assert len({each["id"] for each in results}) == count == 64
    assert found.entry.picture is not None
    assert Image.open(BytesIO(found.entry.picture)).size == (1024, 768)


@pytest.mark.parametrize(
    "wrong", [{"data_dir": None}, {"data_dir": Path("run/data"), "runtime_dir": Path("run")}], ids=["nowhere", "runtime folder"]
)
def test_keeping_needs_a_place_that_lasts(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="NUMERAL_DATA_DIR"):
        settings(Path("data"), **wrong)


LOCAL: dict[str, Any] = {"client": ("127.0.0.1", 1), "base_url": "http://127.0.0.1"}  # who administers without a key


def test_an_administrator_reviews_what_was_said_and_nobody_else_sees_it(tmp_path: Path) -> None:
    with TestClient(create_app(settings(tmp_path)), **LOCAL) as client:
        identity = client.post("/predict", content=THREE).json()["id"]
        client.post("/corrections", json={"id": identity, "truth": 8})
        (listed,) = client.get("/admin/corrections?status=new").json()["corrections"]
        stale = client.post(f"/admin/corrections/{identity}", json={"truth": "7", "status": "accepted"})
        done = client.post(f"/admin/corrections/{identity}", json={"truth": "8", "status": "accepted"})
        left = client.get("/admin/corrections?status=new").json()["corrections"]
        (accepted,) = client.get("/admin/corrections?status=accepted").json()["corrections"]
        headers = {"X-Forwarded-For": "203.0.113.9"}
        others = [client.get("/admin/corrections", headers=headers), client.get("/admin/corrections?status=lost")]

    assert (listed["id"], listed["answer"], listed["truth"], listed["reason"]) == (identity, "3", "8", "wrong-digit")
    assert listed["glyphs"][0].startswith("data:image/png;base64,")
    assert (stale.status_code, done.status_code, left, accepted["id"]) == (404, 200, [], identity)
    assert [each.status_code for each in others] == [403, 422]


@pytest.mark.parametrize(
    "body", [b"", b'{"truth": "8"}', b'{"truth": 8, "status": "accepted"}', b'{"truth": "8", "status": "new"}'],
    ids=["empty", "no status", "a number", "not a review"],
)  # fmt: skip
def test_what_is_no_review_is_refused(tmp_path: Path, body: bytes) -> None:
    with TestClient(create_app(settings(tmp_path)), **LOCAL) as client:
        response = client.post(f"/admin/corrections/{NOBODYS}", content=body)

    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")


def test_the_page_says_what_is_kept_and_has_a_sheet_for_review(keeping: TestClient, client: TestClient) -> None:
    assert 'data-keeps="glyphs"' in keeping.get("/").text
    assert 'data-keeps="off"' in client.get("/").text
    assert (keeping.get("/review").status_code, client.get("/review").status_code) == (200, 404)
    for address in re.findall(r'(?:href|src)="([^"]+)"', keeping.get("/review").text):
        assert keeping.get(f"/{address}").status_code == 200, address


def test_a_reading_of_many_digits_is_kept_and_corrected_by_a_string(tmp_path: Path) -> None:
    chosen = settings(tmp_path, keep="pictures")
    both = Image.new("L", (560, 280), 255)
    for place, digit in enumerate((4, 7)):
        both.paste(canvas(digit).convert("L"), (280 * place, 0))
    with TestClient(create_app(chosen)) as client:
        reading = client.post("/read", content=encode(both)).json()
        batch = client.post("/read/batch", files=[("files", THREE), ("files", b"text")]).json()["results"]
        taken = client.post("/corrections", json={"id": reading["id"], "truth": "1\n7"})
    journal = Journal.open(chosen)
    (found,) = journal.corrected(pictures=True)
    journal.close()

    assert (reading["text"], taken.status_code, taken.json()["truth"]) == ("47", 201, "1\n7")
    assert ["id" in each for each in batch] == [True, False]
    assert (found.entry.text, found.entry.single, found.entry.glyphs.shape) == ("47", False, (2, 28, 28))
    assert [label for _, label in to_pairs(found)] == [1, 7]
    assert [each.x < 280 for each in found.entry.boxes] == [True, False]
    assert found.entry.picture is not None
