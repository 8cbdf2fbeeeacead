"""The page in headless Chromium: it draws, nothing foreign runs, nothing is asked of a network."""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from credit_portfolio.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the path")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
    # No name resolves: whatever the page asked for elsewhere would fail.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]


def after_scripts(address: str, profile: Path) -> tuple[str, list[str]]:
    """Return the DOM after scripts have run, and what they wrote to the console."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", address],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def driven(page: Path, script: str, *, allowed: bool = True) -> Path:
    """Add a script to the page, with leave of its policy or without."""
    text = page.read_text(encoding="utf-8")
    if allowed:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    head, end, tail = text.rpartition("</body>")
    copy = page.with_name(f"driven-{page.name}")
    copy.write_text(f"{head}<script>{script}</script>{end}{tail}", encoding="utf-8")
    return copy


def marked(dom: str, name: str) -> str:
    found = re.search(rf'<html[^>]* data-{name}="([^"]*)"', dom)
    assert found, f"the page did not set data-{name}"
    return found.group(1)


@pytest.fixture
def page(tmp_path, hostile, ageing, quality, swept, walked) -> Path:
    return write_report(
        hostile,
        tmp_path / "report.html",
        ageing=ageing(hostile),
        quality=quality,
        frontier=swept("expected_return", points=3),
        backtest=walked,
        title="Report",
    )


def test_all_pictures_draw_and_no_name_runs(page, tmp_path) -> None:
    dom, console = after_scripts(page.as_uri(), tmp_path / "profile")
    assert console == []
    body = dom[: dom.rindex('<script type="application/json"')]
    # Plotly draws on three layers of class main-svg each: plot, hover, and the ones above.
    drawn = re.findall(r'id="(\w+)-picture"[^>]*class="[^"]*js-plotly-plot', body)
    assert drawn == [
        "evaluation",
        "profiles",
        "shares",
        "risk",
        "limits",
        "ageing",
        "prices",
        "frontier",
        "backtest",
    ]
    assert body.count('class="main-svg"') >= len(drawn)
    assert "<title>Report</title>" in dom
    assert "needs JavaScript" not in body
    assert "<b>x</b>" not in body
    assert "javascript:" not in re.sub(r">[^<]*<", "><", body)


def test_names_are_drawn_as_they_are_written(page, tmp_path, hostile_names) -> None:
    dom, _ = after_scripts(page.as_uri(), tmp_path / "profile")
    labels = set(re.findall(r'class="ytick"><text[^>]*>([^<]*)', dom))
    for name in ("&lt;b&gt;x&lt;/b&gt;", "&amp;lt;b&amp;gt;", "%{x} $x^2$", "0007", "2023-01-01"):
        assert name in labels


def test_a_script_that_the_page_does_not_know_is_refused(page, tmp_path) -> None:
    copy = driven(page, "document.title = 'RAN'", allowed=False)
    dom, console = after_scripts(copy.as_uri(), tmp_path / "profile")
    assert "<title>Report</title>" in dom
    assert any("Content Security Policy" in line for line in console)


def test_the_page_asks_its_server_for_itself_only(page, tmp_path) -> None:
    asked: list[str] = []

    class Recorder(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(page.parent))

        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/report.html"
        dom, console = after_scripts(address, tmp_path / "profile")
        server.shutdown()
    assert "main-svg" in dom
    assert console == []
    assert asked == ["/report.html"]


def test_customers_are_sorted_and_found(page, tmp_path, hostile) -> None:
    script = """
    var table = document.getElementById("customers-table"), mark = document.documentElement.dataset;
    function values(column) {
      return Array.from(table.tBodies[0].rows).map(row => row.cells[column].dataset.value);
    }
    var buttons = table.querySelectorAll("th button");
    buttons[5].click();
    mark.down = values(5).join(" ");
    mark.state = table.querySelectorAll("th")[5].getAttribute("aria-sort");
    buttons[5].click();
    mark.up = values(5).join(" ");
    var field = document.getElementById("customers-filter");
    field.value = " HYPERLINK ";
    field.dispatchEvent(new Event("input"));
    mark.shown = Array.from(table.tBodies[0].rows).filter(row => !row.hidden).length;
    mark.said = document.getElementById("customers-count").textContent;
    """
    dom, console = after_scripts(driven(page, script).as_uri(), tmp_path / "profile")
    assert console == []
    held = sorted(hostile.customers["current_amount"])
    assert [float(text) for text in marked(dom, "up").split()] == held
    assert [float(text) for text in marked(dom, "down").split()] == held[::-1]
    assert marked(dom, "state") == "descending"
    assert marked(dom, "shown") == "1"
    assert marked(dom, "said") == "1 of 20 rows"


def test_a_picture_can_be_saved_under_the_policy(page, tmp_path) -> None:
    script = """
    var place = document.getElementById("risk-picture");
    Plotly.toImage(place, {format: "png", width: 300, height: 200})
      .then(image => { document.documentElement.dataset.image = image.slice(0, 22); });
    """
    dom, console = after_scripts(driven(page, script).as_uri(), tmp_path / "profile")
    assert console == []
    assert marked(dom, "image") == "data:image/png;base64,"


def test_nothing_is_wider_than_a_narrow_page(page, tmp_path) -> None:
    """Seen in a frame of 400 pixels, since windows cannot be made that narrow."""
    script = """
    document.documentElement.dataset.width = document.documentElement.scrollWidth;
    parent.postMessage(document.documentElement.scrollWidth, "*");
    """
    inner = driven(page, f"setTimeout(function () {{ {script} }}, 1000);")
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<html><body><iframe src="{inner.as_uri()}" width="400" height="800"></iframe><script>'
        "window.onmessage = event => { document.documentElement.dataset.width = event.data; };"
        "</script></body></html>",
        encoding="utf-8",
    )
    dom, _ = after_scripts(outer.as_uri(), tmp_path / "profile")
    assert int(marked(dom, "width")) <= 400
