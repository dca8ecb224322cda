"""The report in a real browser: every figure shows, by day and by night, and nothing comes from outside."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

# Runs once the page and its figures are there, and leaves what it saw in the page, for --dump-dom.
PROBE = """<script>
addEventListener("load", async () => {
  const images = [...document.images];
  await Promise.all(images.map(image => image.decode().catch(() => {})));
  const seen = images.map(image => ({
    figure: image.closest("figure").id,
    natural: [image.naturalWidth, image.naturalHeight],
    shown: [image.getBoundingClientRect().width, image.getBoundingClientRect().height],
    dark: image.currentSrc === image.closest("picture").querySelector("source").srcset,
  }));
  const root = document.documentElement;
  const facts = {seen, page: root.scrollWidth, window: root.clientWidth,
    fetched: performance.getEntriesByType("resource").map(entry => entry.name.slice(0, 40)),
    paper: getComputedStyle(document.body).backgroundColor};
  const found = document.createElement("pre");
  found.id = "probe";
  found.textContent = JSON.stringify(facts);
  document.body.append(found);
});
</script>"""

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
)
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"
DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(scope="session")
def browse(require, tmp_path_factory):
    """Open a page and return what the probe in it saw."""
    require("chromium")
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)))

    def open_page(page, *options):
        profile = tmp_path_factory.mktemp("profile")
        done = subprocess.run(
            [browser, *QUIET, OFFLINE, f"--user-data-dir={profile}", *options, "--dump-dom", page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, done.stderr[-2000:]
        return json.loads(html.unescape(found[1]))

    return open_page


@pytest.fixture(scope="session")
def probed(verified, tmp_path_factory):
    """The report with the probe in it."""
    page = tmp_path_factory.mktemp("page") / "report.html"
    text = (verified[0] / "report.html").read_text("utf-8")
    page.write_text(text.replace("</body>", f"{PROBE}</body>"), "utf-8")
    return page


@pytest.fixture(scope="session")
def expected(verified):
    return {f"figure-{path.stem}" for path in (verified[0] / "figures").glob("*.png")}


@pytest.mark.parametrize("dark", [False, True], ids=["day", "night"])
def test_every_figure_shows_without_any_network(browse, probed, expected, dark):
    facts = browse(probed, "--window-size=1280,2000", *[DARK] * dark)
    assert {image["figure"] for image in facts["seen"]} == expected
    assert len(expected) == 5  # verdicts, limits, spectrum and two layers
    for image in facts["seen"]:
        assert min(image["natural"]) > 100, image
        assert min(image["shown"]) > 100, image
        ratios = [width / height for width, height in (image["natural"], image["shown"])]
        assert ratios[0] == pytest.approx(ratios[1], rel=0.02), image
        assert image["dark"] is dark
    assert [name for name in facts["fetched"] if not name.startswith("data:")] == []
    assert facts["paper"] == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(browse, probed, tmp_path, width):
    """A window of the headless browser is never narrower than 500 pixels; a frame can be."""
    frame = tmp_path / "frame.html"
    copy = """<script>addEventListener("message", event => {
      const found = document.createElement("pre");
      found.id = "probe"; found.textContent = event.data; document.body.append(found);
    });</script>"""
    page = tmp_path / "inner.html"
    page.write_text(
        probed.read_text("utf-8").replace(
            "document.body.append(found);",
            'document.body.append(found); parent.postMessage(found.textContent, "*");',
        ),
        "utf-8",
    )
    inner = f'<iframe src="inner.html" width="{width}" height="900" style="border:0">'
    frame.write_text(f'<body style="margin:0">{copy}{inner}', "utf-8")
    facts = browse(frame, "--allow-file-access-from-files", "--window-size=1400,1000")
    assert facts["window"] <= width
    assert facts["page"] <= width, "the page scrolls sideways"
    assert all(image["shown"][0] > 0.85 * min(width, 518) for image in facts["seen"])


class Resources(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found += [
            value for name, value in attrs if name in ("src", "srcset", "poster", "data", "background")
        ]
        self.found += [value for name, value in attrs if tag == "link" and name == "href"]


def test_the_page_names_nothing_outside_itself(verified):
    text = (verified[0] / "report.html").read_text("utf-8")
    page = Resources(text)
    assert page.found
    assert all(value.startswith("data:") for value in page.found)
    assert not {"script", "iframe", "object", "embed", "base"} & page.tags
    assert not re.search(r"@import|url\((?!['\"]?data:)", text)


def test_the_probe_sees_a_figure_that_does_not_show(browse, probed, tmp_path):
    """Without this, a probe that always reports success would pass the tests above."""
    broken = tmp_path / "broken.html"
    text = probed.read_text("utf-8")
    broken.write_text(
        re.sub(r'src="data:image/svg\+xml;base64,', 'src="data:image/svg+xml;base64,!', text, count=1),
        "utf-8",
    )
    natural = [image["natural"] for image in browse(broken)["seen"]]
    assert natural.count([0, 0]) == 1
