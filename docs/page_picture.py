"""Takes the picture of the page in docs/server.md: the first example, answered by the tiny model, at its second step.

structdiff serve --model tiny --port 8123
python docs/page_picture.py http://127.0.0.1:8123 docs/page.png
"""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import Page, expect, sync_playwright

WINDOW = {"width": 1280, "height": 800}


def take(page: Page, url: str, path: str) -> None:
    """Open the page, let it answer, go to the second step, and write the picture."""
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    page.click("#run")
    expect(page.locator("#verdict")).to_contain_text("tokens", timeout=60_000)
    page.locator("#scrub").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.screenshot(path=path)


def main() -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take(browser.new_page(viewport=WINDOW, reduced_motion="reduce"), *sys.argv[1:3])
        browser.close()


if __name__ == "__main__":
    main()
