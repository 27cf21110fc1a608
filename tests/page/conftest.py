"""The page in Chromium. Every test ends with a clean console and without requests to another host."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from app.settings import Settings
from tests.page import axe as axe_core
from tests.page.hand import Sheet, copy_store, installed_browser, open_sheet
from tests.servers import serving
from tests.versions import SHIPPED

Open = Callable[..., Sheet]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Of this folder alone: while Playwright runs, its event loop is in the way of tests that run their own."""
    yield from installed_browser()


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = copy_store(tmp_path_factory.mktemp("store"))
    with serving(Settings(model_store=store, model_version=SHIPPED)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def show(browser: Browser, address: str) -> Iterator[Open]:
    """Opens the page as often as a test wants, each time for a visitor who was never here."""
    sheets: list[Sheet] = []

    def open_one(path: str = "/", at: str = address, **options: Any) -> Sheet:
        sheets.append(open_sheet(browser, at, path, **options))
        return sheets[-1]

    yield open_one
    for sheet in sheets:
        sheet.page.context.close()
    assert [sheet.unforgiven for sheet in sheets] == [[] for _ in sheets]


@pytest.fixture
def sheet(show: Open) -> Sheet:
    return show()


@pytest.fixture(scope="session")
def axe() -> str:
    if not axe_core.FILE.is_file():
        pytest.skip("axe-core is not here; `make page-test` fetches it")
    return axe_core.FILE.read_text(encoding="utf-8")
