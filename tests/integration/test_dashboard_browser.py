"""Drives the dashboard in headless Chromium, as a person would."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from shoploom.data.workspace import Workspace
from shoploom.serving.app import create_app
from shoploom.serving.keys import FILE, Keys
from tests.ensembles import publish_ensembles
from tests.services import make_workspace, publish

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LAPTOP, PHONE = {"width": 1366, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 120_000
"""Milliseconds that a busy machine may take for a page."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; on Debian and Ubuntu: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; make setup")
    with playwright.sync_playwright() as running:
        yield running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    workspace = make_workspace(tmp_path / "shop")
    publish(workspace)
    publish(workspace, promote=False, next_basket="popularity")
    with running(workspace) as base:
        yield f"{base}|{workspace.path}"


@contextmanager
def running(workspace: Workspace) -> Iterator[str]:
    """The address of a service; the workspace is closed after it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(create_app(workspace), host="127.0.0.1", port=port, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + 30
    while not server.started and time.monotonic() < end:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        workspace.close()


def test_a_person_finds_a_customer_a_product_and_another_version(browser: Any, address: str) -> None:
    from playwright.sync_api import expect

    base, _, folder = address.partition("|")
    page = browser.new_page(viewport=LAPTOP)
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda request: trouble.append(request.url))
    page.on("request", lambda request: None if request.url.startswith(base) else trouble.append(request.url))
    page.goto(base)
    page.wait_for_selector(".chart[data-drawn] .main-svg")
    assert page.locator(".task").count() == 7

    page.get_by_role("link", name="Customers").click()
    page.get_by_role("searchbox").fill("c00")
    expect(page.locator("#rows tbody tr")).to_have_count(10)
    page.get_by_role("link", name="c004", exact=True).click()
    page.wait_for_selector("#list .goods li")
    assert page.locator("#list .bought_before").count() > 0
    page.get_by_label("Products bought before").select_option("exclude")
    expect(page.locator("#list .bought_before")).to_have_count(0)

    page.locator("#list .what a").first.click()
    page.wait_for_selector(".chart[data-drawn] .main-svg")
    assert page.get_by_role("heading", name="What is like it?").is_visible()

    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(base)
    page.get_by_role("button", name="Promote").click()
    page.wait_for_selector(".serving:has-text('v0002')")
    assert trouble == []

    for path in (
        "/",
        "/customers",
        "/customers/c004",
        "/products",
        "/products/p003",
        "/ensemble",
        "/certificate",
        "/docs",
    ):
        phone = browser.new_page(viewport=PHONE)
        phone.goto(base + path)
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        phone.close()

    key = Keys(Path(folder) / FILE).create("browser")
    page.goto(base)
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("[role=alert]")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("#court")
    page.close()


def test_a_person_sees_who_put_what_on_a_customers_list(browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    workspace = make_workspace(tmp_path / "shop")
    publish_ensembles(workspace)
    with running(workspace) as base:
        page = browser.new_page(viewport=LAPTOP)
        page.set_default_timeout(PATIENCE)
        trouble: list[str] = []
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.goto(base)
        page.get_by_role("link", name="Ensemble").click()
        expect(page.locator(".worth").first.locator("tbody tr")).to_have_count(4)
        expect(page.locator("#told .stacked")).to_have_count(10)

        page.get_by_label("Customer id").fill("c003")
        expect(page.locator("#told .legend a")).to_have_text("Customer c003")
        widths = (
            page.locator("#told .stacked")
            .first.locator("i")
            .evaluate_all("parts => parts.map(one => one.getBoundingClientRect().width)")
        )
        assert len(widths) == 3
        assert min(widths) > 10, "every member's share can be seen"

        page.get_by_label("Ranking").select_option("new_for_you")
        expect(page.locator("#told .legend span")).to_have_count(2)
        page.get_by_label("Customer id").fill("c00")
        expect(page.locator("#told .empty")).to_contain_text("No customer is called “c00”")
        page.get_by_role("link", name="c004").click()
        expect(page.get_by_label("Ranking")).to_have_value("new_for_you")
        expect(page.locator("#told .legend a")).to_have_text("Customer c004")
        assert trouble == []
        page.close()

        phone = browser.new_page(viewport=PHONE)
        phone.set_default_timeout(PATIENCE)
        phone.goto(f"{base}/ensemble")
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        tables = phone.locator(".scroll").evaluate_all("all => all.map(one => one.scrollWidth - one.clientWidth)")
        assert max(tables) <= 0, "no column is hidden beside the screen"
        tabs = phone.locator(".tabs a").evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
        assert max(tabs) <= PHONE["width"]
        phone.close()
