"""The administrator's sheet of corrections: who may see it, in what order it comes, and what its keys do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route

pytest.importorskip("sqlalchemy")

from app.corrections.entry import Corrected
from app.corrections.journal import Journal
from app.settings import Settings
from app.web.access.keys import make_key
from tests.app.corrections.entries import entry, said
from tests.page.conftest import Open
from tests.page.hand import Sheet
from tests.servers import serving
from tests.versions import SHIPPED

pytestmark = pytest.mark.page

ADMIN, CALLER = make_key("boss", "admin"), make_key("phone", "predict")
SURE, UNSURE, DISPUTED, DOUBTED = (
    entry(number, confidence=confidence) for number, confidence in enumerate((0.985, 0.4, 0.97, 0.6))
)
DOUBTFUL_FIRST = [DISPUTED, UNSURE, DOUBTED, SURE]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Four new corrections."""
    opened = Journal.open(Settings(data_dir=tmp_path))
    corrected = [Corrected(each, said(each, "1", "new", disputed=each is DISPUTED)) for each in (SURE, UNSURE, DISPUTED)]
    opened.restore([*corrected, Corrected(DOUBTED, said(DOUBTED, "", "new"))])
    yield opened
    opened.close()


@pytest.fixture
def sheet(show: Open, journal: Journal, tmp_path: Path) -> Iterator[Sheet]:  # noqa: ARG001  the corrections come first
    """The sheet as a visitor without a key sees it."""
    settings = Settings(
        model_version=SHIPPED,
        keep="glyphs",
        keep_days=100_000,  # the entries are of 1970
        data_dir=tmp_path,
        api_keys=[str(ADMIN[1]), str(CALLER[1])],
    )
    with serving(settings) as port:
        sheet = show("/review", at=f"http://127.0.0.1:{port}")
        sheet.forgive("401 (Unauthorized)")
        yield sheet


@pytest.fixture
def page(sheet: Sheet) -> Page:
    """The sheet as an administrator sees it."""
    enter(sheet.page, ADMIN[0])
    cards(sheet.page).first.wait_for()
    return sheet.page


def enter(page: Page, key: str) -> None:
    page.fill("#key", key)
    page.press("#key", "Enter")


def cards(page: Page) -> Locator:
    return page.locator("#sheet > li")


def statuses(journal: Journal) -> list[str]:
    """Of the corrections, as the sheet has them."""
    found = {each.entry.id: each.correction.status for each in journal.corrected()}
    return [found[each.id] for each in DOUBTFUL_FIRST]


def test_it_shows_nothing_without_the_key_of_an_administrator(sheet: Sheet) -> None:
    sheet.forgive("403 (Forbidden)")
    page = sheet.page
    page.get_by_text("Send a key that is known here").wait_for()
    assert cards(page).count() == 0

    enter(page, CALLER[0])
    page.get_by_text("this takes the role admin").wait_for()
    assert cards(page).count() == 0
    assert page.locator("#key-form").is_visible()

    enter(page, ADMIN[0])
    page.get_by_text("4 shown.").wait_for()
    assert page.locator("#key-form").is_hidden()


def test_the_disputed_and_the_most_doubtful_answers_come_first(page: Page) -> None:
    texts = cards(page).all_inner_texts()

    assert [text.partition(" sure")[0].split()[-1] for text in texts] == ["97%", "40%", "60%", "98.5%"]
    assert ["disputed" in text for text in texts] == [True, False, False, False]
    assert "7 → 1" in texts[0]
    assert "7 → no digit" in texts[2]
    assert page.evaluate("[...document.images].map(image => image.naturalWidth)") == [28] * 4


def test_keys_accept_refuse_and_move(page: Page, journal: Journal) -> None:
    page.keyboard.press("a")
    page.wait_for_selector("#sheet > li:nth-child(2):focus")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("r")
    page.wait_for_selector("#sheet > li:nth-child(4):focus")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")

    assert statuses(journal) == ["accepted", "new", "refused", "new"]
    assert page.locator("#sheet > li:focus").inner_text() == cards(page).nth(1).inner_text()
    assert [card.get_attribute("data-status") for card in cards(page).all()] == ["accepted", None, "refused", None]


def test_buttons_do_what_the_keys_do_and_the_next_ones_are_those_that_are_left(page: Page, journal: Journal) -> None:
    cards(page).nth(1).get_by_role("button", name="Accept").click()
    page.wait_for_selector('#sheet > li:nth-child(2)[data-status="accepted"]')
    cards(page).nth(3).get_by_role("button", name="Refuse").click()
    page.wait_for_selector('#sheet > li:nth-child(4)[data-status="refused"]')
    page.click("#more")
    page.get_by_text("2 shown.").wait_for()

    assert statuses(journal) == ["new", "accepted", "new", "refused"]
    assert cards(page).count() == 2


def test_a_correction_that_changed_meanwhile_stays_new(sheet: Sheet, page: Page, journal: Journal) -> None:
    sheet.forgive("404 (Not Found)")
    journal.correct(DISPUTED.id, "4", DISPUTED.client, owned=True)

    page.keyboard.press("a")
    page.get_by_text("it was changed or deleted meanwhile").wait_for()

    assert statuses(journal) == ["new"] * 4
    assert cards(page).first.get_attribute("data-status") is None


def test_a_key_that_cannot_be_sent_is_refused_and_another_can_be_given(sheet: Sheet) -> None:
    page = sheet.page
    page.get_by_text("Send a key that is known here").wait_for()
    enter(page, f"{ADMIN[0][:12]}…")

    page.get_by_text("… (U+2026)").wait_for(timeout=5000)
    enter(page, ADMIN[0])
    page.get_by_text("4 shown.").wait_for()


def test_a_card_is_judged_once_and_the_focus_stays_where_it_went_meanwhile(page: Page, journal: Journal) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/admin/corrections/*", hold)
    with page.expect_request("**/admin/corrections/*"):
        page.keyboard.press("a")
    page.keyboard.press("r")  # too late
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    for route in held:
        route.continue_()
    page.wait_for_selector('#sheet > li:first-child[data-status="accepted"]')

    assert len(held) == 1
    assert page.locator("#sheet > li:nth-child(3):focus").count() == 1
    assert statuses(journal) == ["accepted", "new", "new", "new"]
