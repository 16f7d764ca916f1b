"""A real browser for tests: Debian's chromium, driven by playwright. Screenshots go to build/screenshots/."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from edgecache.explorer.controls import VIEWS

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
NO_CHROMIUM = "no chromium on the PATH: apt-get install chromium"
LOADED = """Promise.all([...document.images].map(image => {
    image.loading = 'eager';
    return image.decode().then(() => image.naturalWidth > 0);
})).then(all => all.every(Boolean))"""


class Visitor:
    """A page, and what went wrong on it."""

    def __init__(self, chromium, url: str, width: int = 1280, wait: str = "load"):
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
        )
        self.page, self.wrong, self.frames = self.context.new_page(), [], []
        self.context.route(lambda address: not address.startswith(("http://127.0.0.1", "file:", "data:", "blob:")), self.refuse)
        self.page.on("console", lambda said: said.type == "error" and self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("websocket", lambda socket: self.frames.append(socket.url))
        self.page.goto(url, wait_until=wait)

    def refuse(self, route):
        self.wrong.append(f"asked for {route.request.url}")
        route.abort()

    def ready(self):
        self.page.wait_for_selector(".edgecache img", timeout=60_000)
        return self

    def slider(self, name: str):
        return self.page.get_by_role("slider", name=name, exact=True)

    def box(self, policy: str):
        return self.page.get_by_role("checkbox", name=policy, exact=True)

    def upload(self, name: str, text: str):
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Upload").click()
        chooser.value.set_files({"name": name, "mimeType": "text/csv", "buffer": text.encode()})

    def says(self, text: str):
        """Wait until the line of code under the view has the text; returns the line."""
        line = "(document.querySelector('.edgecache .code code')?.textContent ?? '')"
        self.page.wait_for_function(f"text => {line}.includes(text)", arg=text, timeout=20_000)
        return self.page.evaluate(line)

    def view(self, name: str):
        self.page.get_by_role("button", name=VIEWS[name]).click()
        self.page.wait_for_function(
            "text => document.querySelector('.edgecache img')?.alt.startsWith(text + ':')", arg=VIEWS[name], timeout=20_000
        )

    def rows(self) -> dict[str, list[str]]:
        """The table of the policies compared, by the policy's label."""
        rows = self.page.locator(".edgecache tbody tr").all_inner_texts()
        return {cells[0]: cells[1:] for cells in (re.split(r"\t", row.strip()) for row in rows)}

    def accessible(self) -> list[str]:
        axe = Path(find_spec("axe_playwright_python").origin).parent / "axe.min.js"
        if not self.page.evaluate("typeof window.axe === 'object'"):
            self.page.evaluate(axe.read_text())
        found = self.page.evaluate("axe.run({preload: false})")["violations"]
        return [f"{rule['id']}: {rule['nodes'][0]['html'][:150]}" for rule in found]

    def shoot(self, name: str):
        folder = ROOT / "build/screenshots"
        folder.mkdir(parents=True, exist_ok=True)
        self.page.mouse.move(1, 1)
        self.page.screenshot(path=folder / f"{name}.png")
