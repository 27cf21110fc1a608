"""Photos, files, many files at once, and the code samples that make the same calls."""

import base64
import csv
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page

from benchmarks.pictures import canvas, encode, photo
from tests.page.conftest import Open
from tests.page.hand import PHONE, Sheet, draw_digit, wait_for_answer

pytestmark = pytest.mark.page

GIVE = """([event, files]) => {
    const transfer = new DataTransfer();
    for (const [name, type, data] of files)
        transfer.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name, { type }));
    const options = { bubbles: true, cancelable: true };
    document.body.dispatchEvent(event === "paste"
        ? new ClipboardEvent(event, { ...options, clipboardData: transfer })
        : new DragEvent(event, { ...options, dataTransfer: transfer }));
}"""


def payload(name: str, data: bytes, kind: str = "image/jpeg") -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": data}


def give(page: Page, event: str, *files: FilePayload) -> None:
    page.evaluate(
        GIVE, [event, [[file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()] for file in files]]
    )


def sent(page: Page, file: FilePayload) -> bytes:
    """The bytes of the picture that the page sends when it is given one; Chromium tells nobody of a form's files."""
    page.evaluate(
        """() => {
            const send = XMLHttpRequest.prototype.send;
            XMLHttpRequest.prototype.send = function (body) {
                const reader = new FileReader();
                reader.onload = () => (window.sent = reader.result.split(",")[1]);
                reader.readAsDataURL(body.get("file"));
                send.call(this, body);
            };
        }"""
    )
    page.set_input_files("#file", [file])
    wait_for_answer(page)
    return base64.b64decode(page.evaluate("window.sent"))


def test_a_photo_is_read_and_its_digit_boxed(sheet: Sheet) -> None:
    page = sheet.page
    page.set_input_files("#file", [payload("seven.jpg", encode(photo(7), "JPEG"))])

    assert wait_for_answer(page) == "7"
    box, image = page.locator("#shot-boxes span").bounding_box(), page.locator("#shot-image").bounding_box()
    assert box
    assert image
    assert image["x"] + 0.3 * image["width"] < box["x"] < image["x"] + 0.5 * image["width"]
    assert image["y"] + 0.2 * image["height"] < box["y"] < image["y"] + 0.35 * image["height"]


def test_a_photo_of_twelve_megapixels_is_scaled_down_before_it_is_sent(sheet: Sheet) -> None:
    page = sheet.page
    large = encode(photo(3).resize((4000, 3000)), "JPEG")
    scaled = sent(page, payload("three.jpg", large))

    with Image.open(io.BytesIO(scaled)) as image:
        assert image.size == (1600, 1200)
    assert len(scaled) < len(large) / 2
    assert wait_for_answer(page) == "3"


@pytest.mark.parametrize(
    ("name", "kind", "form"), [("seven.avif", "image/avif", "AVIF"), ("seven", "application/octet-stream", "PNG")]
)
def test_a_large_picture_keeps_its_transparency(name: str, kind: str, form: str, sheet: Sheet) -> None:
    ink = canvas(7, ground=None).resize((2400, 2400))
    scaled = sent(sheet.page, payload(name, encode(ink, form), kind))

    with Image.open(io.BytesIO(scaled)) as image:
        assert (image.size, image.format) == ((1600, 1600), "PNG")
        assert image.convert("RGBA").getchannel("A").getextrema() == (0, 255)
    assert wait_for_answer(sheet.page) == "7"


def test_a_very_narrow_picture_is_scaled_down_to_one_that_is_a_pixel_wide(sheet: Sheet) -> None:
    sheet.forgive("status of 4")
    scaled = sent(sheet.page, payload("line.png", encode(Image.new("L", (1, 5000), 255)), "image/png"))

    with Image.open(io.BytesIO(scaled)) as image:
        assert image.size == (1, 1600)
    assert NO_DIGIT in sheet.page.locator("#problem").inner_text()


def test_a_small_picture_is_sent_as_it_is(sheet: Sheet) -> None:
    data = encode(canvas(5, ground=None))

    assert data == sent(sheet.page, payload("five.png", data, "image/png"))
    assert wait_for_answer(sheet.page) == "5"


def test_a_slow_upload_shows_its_progress(sheet: Sheet) -> None:
    page = sheet.page
    session = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    session.send("Network.emulateNetworkConditions", slow)
    page.set_input_files("#file", [payload("seven.jpg", encode(photo(7, (1200, 900), pen=14), "JPEG"))])
    page.wait_for_selector("#progress:not([hidden])")

    assert page.locator("#badge").inner_text() == "Reading…"
    assert wait_for_answer(page) == "7"
    assert page.locator("#progress").is_hidden()


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_picture_can_be_given_by(event: str, sheet: Sheet) -> None:
    give(sheet.page, event, payload("two.png", encode(canvas(2)), "image/png"))
    sheet.page.wait_for_selector("#answer[aria-busy=true], #answer[data-state=accepted]")

    assert wait_for_answer(sheet.page) == "2"
    assert sheet.page.locator("#photo").is_visible()


def test_a_phone_offers_its_camera(show: Open) -> None:
    page = show(**PHONE).page
    page.click("#tab-photo")

    assert page.locator(".camera").is_visible()
    assert page.locator("#camera").get_attribute("capture") == "environment"


NO_DIGIT = "No digit was found. Is there one in the picture?"
BAD: dict[str, tuple[FilePayload, str]] = {
    "a blank sheet": (payload("blank.png", encode(Image.new("RGB", (90, 90), "white")), "image/png"), NO_DIGIT),
    "words": (payload("words.txt", b"hello", "text/plain"), "This is not a picture that can be read here."),
    "half a file": (payload("half.png", encode(canvas(3))[:200], "image/png"), "The file is damaged or incomplete."),
}


@pytest.mark.parametrize(("file", "words"), BAD.values(), ids=BAD.keys())
def test_errors_are_explained_in_words(file: FilePayload, words: str, sheet: Sheet) -> None:
    sheet.forgive("status of 4")
    sheet.page.set_input_files("#file", [file])

    assert wait_for_answer(sheet.page) == ""
    assert words in sheet.page.locator("#problem").inner_text()
    assert "Request " in sheet.page.locator("#problem-detail").inner_text()


def test_an_empty_file_is_called_empty_alone_and_among_many(sheet: Sheet) -> None:
    sheet.forgive("status of 4")
    page, empty = sheet.page, payload("empty.png", b"", "image/png")
    page.set_input_files("#file", [empty])
    wait_for_answer(page)
    page.set_input_files("#files", [empty, payload("3.png", encode(canvas(3)), "image/png")])
    page.wait_for_selector("#rows tr:nth-child(2)")

    assert "The file in the field `file` is empty" in page.locator("#problem-title").inner_text()
    assert "empty" not in page.locator("#problem-detail").inner_text()  # it is said once
    assert "This file of the batch is empty" in page.locator("#rows tr:first-child td:last-child").inner_text()


def test_a_refused_picture_is_not_sent_again_another_is_chosen(sheet: Sheet) -> None:
    sheet.forgive("status of 4")
    page = sheet.page
    page.set_input_files("#file", [BAD["words"][0]])
    wait_for_answer(page)

    assert page.locator("#again").is_hidden()
    with page.expect_file_chooser() as chooser:
        page.click("#another")
    chooser.value.set_files([payload("seven.jpg", encode(photo(7), "JPEG"))])
    page.wait_for_selector("#problem", state="hidden")
    assert wait_for_answer(page) == "7"


def test_a_click_on_the_empty_drop_zone_chooses_a_picture(sheet: Sheet) -> None:
    page = sheet.page
    page.click("#tab-photo")
    with page.expect_file_chooser() as chooser:
        page.click(".drop")
    chooser.value.set_files([payload("seven.jpg", encode(photo(7), "JPEG"))])
    page.wait_for_selector("#shot:not([hidden])")

    assert wait_for_answer(page) == "7"


def test_each_tab_shows_its_own_answer(sheet: Sheet) -> None:
    page = sheet.page
    draw_digit(page, 3)
    page.click("#tab-photo")
    empty = wait_for_answer(page)
    page.set_input_files("#file", [payload("seven.jpg", encode(photo(7), "JPEG"))])
    page.click("#tab-draw")
    on_the_pad = page.locator("#text").inner_text()
    page.wait_for_selector("#history li:nth-child(2)")
    still_on_the_pad = wait_for_answer(page)
    page.click("#tab-photo")

    assert (empty, on_the_pad, still_on_the_pad, wait_for_answer(page)) == ("", "3", "3", "7")


def test_examples_are_read_and_doubts_explained_in_words(sheet: Sheet) -> None:
    page, seen = sheet.page, []
    for place in range(1, 5):
        page.click(f"#examples li:nth-child({place}) button")
        seen.append((wait_for_answer(page), page.locator("#badge").inner_text()))

    assert [said for _, said in seen[:3]] == ["Looks right"] * 3
    assert seen[3][1] in ("Please check", "No answer")  # it is a letter
    assert seen[0][0] == "7"
    assert seen[1][0] == "5"
    assert seen[2][0] == "42"
    assert "% sure" not in page.locator("#reason").inner_text()  # it says what is the matter


def test_many_pictures_become_a_table_and_a_csv(sheet: Sheet) -> None:
    page = sheet.page
    photos = [payload(f"=photo {digit}.jpg", encode(photo(digit, seed=digit), "JPEG")) for digit in range(10)]
    blank, _ = BAD["a blank sheet"]
    give(page, "drop", *photos, blank)
    page.wait_for_selector("#rows tr:nth-child(11)")
    page.wait_for_selector("#csv:enabled")

    assert page.locator("#rows .number").all_inner_texts() == [*"0123456789", "–"]
    assert page.locator("#rows img").count() == 11
    assert page.locator("#batch-hint").inner_text() == "11 of 11 read"
    with page.expect_download() as download:
        page.click("#csv")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["text"] for row in rows] == [*"0123456789", ""]
    assert rows[10]["problem"] == "no-digit-found"
    assert rows[0]["file"] == "'=photo 0.jpg"  # no spreadsheet takes it for a formula


def copied(page: Page, tongue: str) -> str:
    page.click(f"#tab-{tongue}")
    page.click("#copy")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.fixture
def may_copy(show: Open) -> Sheet:
    sheet = show()
    sheet.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return sheet


def run_curl(command: str, folder: Path) -> str:
    done = subprocess.run(shlex.split(command.replace("\\\n", " ")), cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def run_python(program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setitem(sys.modules, "httpx", httpx2)
    exec(program, {})
    return capsys.readouterr().out


def run_javascript(page: Page, program: str, *files: FilePayload) -> Any:
    return page.evaluate(
        """async ([program, files]) => {
            const said = [], transfer = new DataTransfer();
            for (const [name, data] of files)
                transfer.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name));
            window.input = { files: transfer.files };
            window.said = (what) => said.push(what);
            const url = URL.createObjectURL(new Blob([program.replace("console.log", "window.said") + "\\nexport {}"], { type: "text/javascript" }));
            await import(url);
            return said[0];
        }""",
        [program, [[file["name"], base64.b64encode(file["buffer"]).decode()] for file in files]],
    )


def test_the_code_of_a_drawing_gives_its_answer_again(
    may_copy: Sheet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = may_copy.page
    draw_digit(page, 5)
    shell, python = copied(page, "curl"), copied(page, "python")

    assert '"text":"5"' in run_curl(shell, tmp_path)
    assert run_python(python, monkeypatch, capsys).strip() == "5"
    assert "…" in page.locator("#code").inner_text()
    assert "…" not in python


def test_there_is_code_to_try_before_the_first_answer(
    may_copy: Sheet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = may_copy.page
    note = page.locator("#code-note").inner_text()
    answer = json.loads(run_curl(copied(page, "curl"), tmp_path))

    assert note.startswith("A call to try")
    assert (answer["text"], answer["accepted"]) == ("7", True)
    assert run_python(copied(page, "python"), monkeypatch, capsys).strip() == "7"
    draw_digit(page, 3)
    assert page.locator("#code-note").inner_text().startswith("The call that gave the last answer.")


def test_the_code_of_a_photo_gives_its_answer_again(
    may_copy: Sheet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page, name = may_copy.page, 'it\'s a "7".png'
    (tmp_path / name).write_bytes(encode(canvas(7)))
    page.set_input_files("#file", [payload(name, encode(canvas(7)), "image/png")])
    wait_for_answer(page)
    monkeypatch.chdir(tmp_path)

    assert '"text":"7"' in run_curl(copied(page, "curl"), tmp_path)
    assert run_python(copied(page, "python"), monkeypatch, capsys).strip() == "7"


def test_the_code_of_many_pictures_gives_their_answers_again(
    may_copy: Sheet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = may_copy.page
    files = [payload(f"{digit}.png", encode(canvas(digit)), "image/png") for digit in (3, 8)]
    for file in files:
        (tmp_path / file["name"]).write_bytes(file["buffer"])
    page.set_input_files("#files", files)
    page.wait_for_selector("#rows tr:nth-child(2)")
    monkeypatch.chdir(tmp_path)

    assert '"text":"8"' in run_curl(copied(page, "curl"), tmp_path)
    assert run_python(copied(page, "python"), monkeypatch, capsys).split() == ["3", "8"]


@pytest.mark.parametrize("kind", ["drawing", "photo", "batch"])
def test_the_javascript_gives_the_answer_again(show: Open, kind: str) -> None:
    page = show(bypass_csp=True).page  # the program comes as a blob, which the page's own policy refuses
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    files = [payload(f"{digit}.png", encode(canvas(digit)), "image/png") for digit in (3, 8)]
    if kind == "drawing":
        draw_digit(page, 3)
        files = []
    elif kind == "photo":
        files = files[:1]
        page.set_input_files("#file", files)
        wait_for_answer(page)
    else:
        page.set_input_files("#files", files)
        page.wait_for_selector("#rows tr:nth-child(2)")

    assert run_javascript(page, copied(page, "javascript"), *files) == (["3", "8"] if kind == "batch" else "3")
