"""Takes the picture of the page in docs/server.md: the first example, answered by the tiny model, at its second step.

structdiff serve --model tiny --port 8123
python docs/page_picture.py http://127.0.0.1:8123 docs/page.png
"""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import expect, sync_playwright


def take(url: str, path: str) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        page.goto(url)
        page.wait_for_selector("html[data-ready]")
        page.click("#run")
        expect(page.locator("#verdict")).to_contain_text("tokens", timeout=60_000)
        page.locator("#scrub").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    take(*sys.argv[1:3])
