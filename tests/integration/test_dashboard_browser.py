"""Drives the dashboard in headless Chromium, as a person would."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from shoploom.serving.app import create_app
from shoploom.serving.keys import FILE, Keys
from tests.services import make_workspace, publish

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LAPTOP, PHONE = {"width": 1366, "height": 900}, {"width": 390, "height": 844}


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
    yield f"http://127.0.0.1:{port}|{workspace.path}"
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

    for path in ("/", "/customers", "/customers/c004", "/products", "/products/p003", "/docs"):
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
