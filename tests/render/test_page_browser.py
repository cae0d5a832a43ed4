"""The pages of a run and of a publication in a real browser: headless Chromium, no driver.

Left out where no Chromium is installed, unless ``HARNESS_REQUIRE_BROWSER=1`` (CI sets it).
A copy of the page is put into a frame of the width in question, together with a script that
reads what the browser made of it.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from made_runs import make_run

from harness.cli.main import cli
from harness.render.publication import write_publication

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=4000",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
PHONE, TABLET, DESKTOP = 390, 800, 1300

PROBE = """
const frame = document.querySelector('iframe');
const rgba = text => {
  const srgb = text.startsWith('color(');
  const n = (text.match(/-?[\\d.]+(?:e-?\\d+)?/g) || []).map(Number);
  return [...n.slice(0, 3).map(v => srgb ? v * 255 : v), n.length > 3 ? n[3] : 1];
};
const light = c => {
  const [r, g, b] = c.map(v => (v /= 255, v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
frame.addEventListener('load', () => {
  const win = frame.contentWindow, doc = frame.contentDocument;
  if (OPEN) doc.querySelectorAll('details').forEach(d => { d.open = true; });
  const behind = node => {
    for (let at = node; at && at.nodeType === 1; at = at.parentNode) {
      const c = rgba(win.getComputedStyle(at).backgroundColor);
      if (c[3] > 0.99) return c;
    }
    return [255, 255, 255, 1];
  };
  const faint = [];
  let checked = 0;
  const walker = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, owner = node.parentElement;
    if (!node.data.trim() || !owner.getClientRects().length) continue;
    if (owner.closest('.quiet, title, desc, style')) continue;
    const style = win.getComputedStyle(owner);
    const ink = rgba(owner.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink.slice(0, 3)), light(behind(owner).slice(0, 3))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    checked += 1;
    if (ratio < 4.5) faint.push([node.data.trim().slice(0, 40), +ratio.toFixed(2)]);
  }
  const wide = [...doc.querySelectorAll('body *')].filter(e =>
    e.getClientRects().length && !e.parentElement.closest('.scroll, pre, svg') &&
    e.getBoundingClientRect().right > win.innerWidth + 1).map(e => e.tagName + '.' + e.className);
  const drawings = [...doc.querySelectorAll('figure > svg')].map(e => {
    const box = e.getBoundingClientRect();
    return [box.width, box.height];
  });
  const svgs = [...doc.querySelectorAll('figure > svg')];
  const overlaps = svgs.flatMap(e => {
    const boxes = [...e.querySelectorAll('text')].map(
      t => [t.textContent, t.getBoundingClientRect()]);
    const found = [];
    boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const up = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 2 && up > 0.35 * Math.min(a.height, b.height)) found.push([one, other]);
    }));
    return found;
  });
  const cut = [...doc.querySelectorAll('.scroll')].filter(e =>
    e.getClientRects().length && !e.closest('figure') &&
    e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel);
  const lines = [...doc.querySelectorAll('h1, h2, h3, p, li, td, th')].filter(e =>
    e.getClientRects().length && !e.closest('.quiet') && e.textContent.trim());
  const boxes = lines.map(e => [e, e.getBoundingClientRect()]);
  const collisions = boxes.flatMap(([e, a], i) => boxes.slice(i + 1, i + 40).filter(([f, b]) =>
    !e.contains(f) && !f.contains(e) &&
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2 &&
    !(e.closest('.scroll') || f.closest('.scroll'))
  ).map(([f]) => [e.textContent.trim().slice(0, 30), f.textContent.trim().slice(0, 30)]));
  const verdicts = [...doc.querySelectorAll('.verdict')].map(e => e.getBoundingClientRect().top);
  const first = doc.querySelector('.grid-table');
  const crowded = [...doc.querySelectorAll('.grid-table td, .grid-table th')].filter(e =>
    e.scrollWidth > e.clientWidth + 1).map(e => e.textContent);
  const outside = [...doc.querySelectorAll('figure > svg')].flatMap(e => {
    const box = e.getBoundingClientRect();
    return [...e.querySelectorAll('text')].filter(t => {
      const own = t.getBoundingClientRect();
      return own.left < box.left - 2 || own.right > box.right + 2;
    }).map(t => t.textContent);
  });
  const answer = {
    inner: win.innerWidth,
    scroll: doc.documentElement.scrollWidth,
    paper: rgba(win.getComputedStyle(doc.body).backgroundColor),
    requests: win.performance.getEntriesByType('resource').map(e => e.name),
    faint, checked, wide, drawings, outside, overlaps, cut, crowded, collisions, verdicts,
    grid: first ? [first.getBoundingClientRect().top, first.getBoundingClientRect().bottom] : null,
    folded: [...doc.querySelectorAll('.fold table')].filter(e => e.checkVisibility()).length,
  };
  const out = document.createElement('pre');
  out.id = 'answer';
  out.textContent = JSON.stringify(answer);
  document.body.append(out);
});
frame.srcdoc = PAGE;
"""


def find_browser() -> str | None:
    """Where Chromium is, if it is installed."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    return None


BROWSER = find_browser()
REQUIRED = os.environ.get("HARNESS_REQUIRE_BROWSER") == "1"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None and not REQUIRED,
        reason="no Chromium is installed: the page of `harness report` is not tried in a browser",
    ),
]


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page."""

    answer: dict[str, Any]
    log: str

    @property
    def complaints(self) -> list[str]:
        """Lines of the page's console."""
        return [line for line in self.log.splitlines() if ":CONSOLE" in line]


def look(page: str, folder: Path, width: int, *, dark: bool = False, unfold: bool = False) -> Seen:
    """Open a page in a frame of a width, and ask what the browser sees."""
    assert BROWSER is not None, "HARNESS_REQUIRE_BROWSER=1, but no Chromium is installed"
    text = json.dumps(page).replace("</", "<\\/")
    script = PROBE.replace("PAGE", text).replace("OPEN", json.dumps(unfold))
    frame = f'<iframe style="width:{width}px;height:900px;border:0"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(
        f"<!doctype html><meta charset=utf-8>{frame}<script>{script}</script>", "utf-8"
    )
    result = subprocess.run(
        [
            BROWSER,
            *FLAGS,
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--window-size={max(width + 40, 600)},1000",
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            outer.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="answer">(.*?)</pre>', result.stdout, re.DOTALL)
    assert found, result.stderr[-2000:]
    return Seen(json.loads(html.unescape(found[1])), result.stderr)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with every section: failures, two methods, three steps, long names."""
    folder = tmp_path_factory.mktemp("browser")
    store = make_run(
        folder,
        maskers=("wordlist", "random"),
        methods=("mlm-unlearning", "a-method-with-quite-a-long-name-of-its-own"),
        fail={("race", 30)},
        reason="diverged: " + "loss-is-nan-" * 12,
    )
    result = CliRunner().invoke(cli, ["report", str(store.folder)])
    assert result.exit_code == 0, result.output
    return (store.folder / "report.html").read_text("utf-8")


def test_the_probe_sees_what_is_wrong(tmp_path: Path) -> None:
    """Complaints, requests, wide and faint things are found where there are some."""
    bad = (
        "<body style='background:#fff'><p style='color:#ddd'>faint</p>"
        "<div style='width:900px'>wide</div><img src='https://example.org/x.png' alt=''>"
        "<script>console.error('oh'); no_such_name();</script>"
    )
    seen = look(bad, tmp_path, PHONE)
    assert len(seen.complaints) >= 2
    assert seen.answer["scroll"] > PHONE
    assert seen.answer["wide"] == ["DIV."]
    assert [words for words, _ in seen.answer["faint"]] == ["faint"]
    assert seen.answer["requests"] == ["https://example.org/x.png"]


def readable(seen: Seen, width: int, dark: bool, texts: int) -> Any:
    """Check what every page must be: whole, of one colour scheme, legible. Return what was seen."""
    answer = seen.answer
    assert seen.complaints == []
    assert answer["requests"] == []
    assert answer["inner"] == width
    assert answer["wide"] == []
    assert answer["scroll"] <= width
    assert (sum(answer["paper"][:3]) < 3 * 60) == dark
    assert answer["checked"] > texts
    assert answer["faint"] == []
    assert answer["collisions"] == []
    if width == DESKTOP:
        assert answer["cut"] == []
    return answer


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, TABLET, DESKTOP])
def test_the_page_in_a_browser(page: str, tmp_path: Path, width: int, dark: bool) -> None:
    answer = readable(look(page, tmp_path, width, dark=dark, unfold=True), width, dark, 500)
    assert len(answer["drawings"]) > 10
    assert all(w > 250 and h > 100 for w, h in answer["drawings"])
    assert answer["outside"] == []
    assert answer["overlaps"] == []
    assert answer["crowded"] == []
    assert answer["grid"][1] < 844  # the answer is on the first screen, on a phone too


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page in front of three published runs: long names, failures, several fits, nats."""
    folder = tmp_path_factory.mktemp("published")
    stores = {
        name: make_run(folder, name=name, **shape)
        for name, shape in {
            "one": {"maskers": ("wordlist", "random"), "seeds": range(4), "lean": 0.9},
            "a-run-with-quite-a-long-name-of-its-own.v2": {"fail": {("race", 30)}, "lean": 0.9},
            "nats": {"evaluators": ("pairs", "gap", "neutral-kl", "wikitext2-perplexity"),
                     "methods": ("mlm-unlearning", "a-method-with-quite-a-long-name-of-its-own")},
        }.items()
    }  # fmt: skip
    write_publication(folder / "out", stores, lambda store: "", "Bias transfer runs")
    return (folder / "out" / "index.html").read_text("utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, TABLET, DESKTOP])
def test_the_page_in_front_of_published_runs(
    front: str, tmp_path: Path, width: int, dark: bool
) -> None:
    answer = readable(look(front, tmp_path, width, dark=dark), width, dark, 100)
    assert answer["verdicts"][0] < 300  # the first answer is on the first screen
    assert len(answer["verdicts"]) == 3


def test_offending_parts_are_folded_until_asked_for(page: str, tmp_path: Path) -> None:
    assert look(page, tmp_path, DESKTOP).answer["folded"] == 0
    unfolded = look(page, tmp_path, DESKTOP, unfold=True).answer
    assert unfolded["folded"] > 0


def test_a_screenshot_can_be_taken_from_the_file(page: str, tmp_path: Path) -> None:
    """Opened as a user opens it: from its file, at the width of a phone."""
    assert BROWSER is not None
    path, shot = tmp_path / "report.html", tmp_path / "shot.png"
    path.write_text(page, "utf-8")
    subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={PHONE},2000",
         f"--screenshot={shot}", path.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert shot.read_bytes().startswith(b"\x89PNG")
    assert shot.stat().st_size > 20_000
