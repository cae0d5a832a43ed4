"""The page of a run: what it says, runs of any shape, structure for readers of every kind."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from fresh_env import REPO
from made_runs import make_run, pairs

from harness.analysis.halves import halves_panels
from harness.analysis.item_changes import spread_panels
from harness.analysis.matrix_builder import build_matrix
from harness.analysis.step_curves import bias_panels, pareto_front, perplexity_panels, trade_off
from harness.cli.main import cli
from harness.errors import HarnessError
from harness.metrics import HIGHER, LOWER
from harness.render import paper_figures as figures
from harness.render.page import svg
from harness.storage.item_table import ItemTable
from harness.storage.reader import RunReader
from harness.storage.store import Store

VOID = {"meta", "link", "br", "line", "circle", "polygon", "polyline"}
AWKWARD = "<script>alert(1)</script> & \"x\" 'y'"


class Page(HTMLParser):
    """A parsed page: open tags in order, with attributes, and the text within."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def shown(self) -> str:
        return " ".join(" ".join(self.words).split())


def report(store: Store, *options: str) -> str:
    out = store.folder / "out.html"
    result = CliRunner().invoke(cli, ["report", str(store.folder), "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    return out.read_text("utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three steps, two sources, two methods, a failed checkpoint."""
    return make_run(
        tmp_path_factory.mktemp("run"),
        maskers=("wordlist", "random"),
        fail={("race", 30)},
        lean=0.8,
    )


@pytest.fixture(scope="module")
def page(run: Store) -> Page:
    return Page(report(run))


# -- what it says ----------------------------------------------------------------------------


def test_every_score_of_the_matrix_is_on_the_page(run: Store, page: Page) -> None:
    for row in build_matrix(run).rows:
        for entry in row.entries:
            if entry.after is not None and entry.after.value is not None:
                assert f"{entry.after.value:.2f}" in page.shown
    cells = re.findall(r'<td class="cell absent" title="([^"]*)">failed</td>', page.text)
    assert cells == ["diverged: loss is nan"] * 2 * 4  # two fits, three targets and perplexity
    assert "diverged: loss is nan" in page.shown


def test_it_holds_what_was_asked_for(page: Page) -> None:
    headings = page.shown
    for part in (
        "Transfer matrix",
        "Over unlearning steps",
        "Bias against language ability",
        "Halves of the paired suites",
        "How the items moved",
        "Leaderboard",
        "Spec and provenance",
        "How to cite",
        "Content warning",
        "0123456789ab",  # commit
        "torch 2.13.0",
        "@article{lu2024transfer",
        "name: made-run",
    ):
        assert part in headings
    assert "Figure 1 of Lu et al. 2024" in page.text.replace("&nbsp;", " ")


def test_reported_numbers_stand_apart_and_only_where_the_data_is_the_same(tmp_path: Path) -> None:
    store = make_run(tmp_path, evaluators=("crows-pairs-like", "wikitext2-perplexity"))
    text = report(store)
    section = text.split('<section id="reported"')[1].split("</section>")[0]
    assert "29.94" in section
    assert "56.49" not in section  # CrowS-Pairs was not measured
    assert "29.94" not in text.replace(section, "")


def test_items_are_folded_and_without_sentences(run: Store, page: Page) -> None:
    before = page.text.split("Items that flipped")[1]
    assert before.removeprefix("</h3>").lstrip().startswith('<details class="fold">')
    assert "<details open" not in page.text
    assert page.all("q") == []


def test_sentences_that_cannot_be_found_cost_a_line_and_not_the_page(run: Store) -> None:
    out = run.folder / "with.html"
    result = CliRunner().invoke(cli, ["report", str(run.folder), "--out", str(out), "--sentences"])
    assert result.exit_code == 0
    assert "no sentences of pairs, gender" in " ".join(result.stderr.split())
    assert out.is_file()


# -- any shape -------------------------------------------------------------------------------

SHAPES = {
    "one domain": {"sources": ["gender"], "targets": ["gender"]},
    "one step": {"steps": [50]},
    "every fit failed": {"fail": {(s, n) for s in ("gender", "race") for n in (10, 20, 30)}},
    "base only": {"methods": [], "identity": False},
    "controls only": {"methods": []},
    "no language": {"evaluators": ["pairs"]},
    "no bias": {"evaluators": ["wikitext2-perplexity"]},
    "many methods": {"methods": [f"method-{i}" for i in range(10)], "steps": [10]},
    "several seeds": {"seeds": [0, 1, 2]},
    "awkward names": {"methods": [AWKWARD], "fail": {("race", 30)}, "reason": AWKWARD},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_runs_of_any_shape(tmp_path: Path, shape: str) -> None:
    store = make_run(tmp_path, **SHAPES[shape])  # type: ignore[arg-type]
    page = Page(report(store))
    assert "Transfer matrix" in page.shown
    assert page.all("script") == []
    assert "nan" not in re.sub(r"loss is nan", "", page.shown).lower().split()
    for tag, attrs in page.tags:
        drawn = [value for name, value in attrs.items() if name not in ("title", "aria-label")]
        assert not any("nan" in re.split(r"[ ,]", value) for value in drawn), (tag, attrs)
    if shape == "base only":
        assert "no curve to draw" in page.shown
    if shape == "several seeds":
        assert "Over fits alone" in page.shown
        assert "with one seed: how much" not in page.shown
    if shape == "every fit failed":
        assert "checkpoints failed" in page.shown
    if shape == "awkward names":
        assert AWKWARD in page.shown


# -- for every reader ------------------------------------------------------------------------


def test_it_needs_no_network_and_no_script(page: Page) -> None:
    for tag, attrs in page.tags:
        assert tag not in ("script", "iframe", "img", "object", "embed")
        for name in ("src", "href", "srcset", "action", "data"):
            assert attrs.get(name, "#").startswith(("#", "data:,")), (tag, attrs)
        assert not any(name.startswith("on") for name in attrs)
    style = page.text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


def test_structure_for_screen_readers_and_keyboards(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert len(page.all(landmark)) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(attrs.get(name, "").split()) <= set(ids)
        if attrs.get("href", "").startswith("#"):
            assert attrs["href"][1:] in ids
    links = [attrs for tag, attrs in page.tags if tag == "a"]
    assert links[0] == {"class": "skip", "href": "#main"}
    assert all("scope" in attrs for attrs in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    for attrs in page.all("div"):
        if attrs.get("class") == "scroll":
            assert (attrs["role"], attrs["tabindex"]) == ("region", "0")
            assert attrs["aria-label"]
    for attrs in page.all("svg"):
        assert attrs.get("aria-hidden") == "true" or (
            attrs["role"] == "img" and attrs["aria-labelledby"]
        )


def test_every_figure_has_a_text_and_a_table(page: Page) -> None:
    drawn = page.text.split("<figure>")[1:]
    assert len(drawn) > 10
    for figure in drawn:
        own = figure.split("</figure>")[0]
        assert re.search(r"<title [^>]*>[^<]+</title><desc [^>]*>[^<]{20,}</desc>", own)
        assert re.search(r"<details><summary>The numbers.*<table", own, re.DOTALL)


def test_colour_is_never_the_only_sign(page: Page) -> None:
    cells = re.findall(r'<td class="cell (better|worse)-\d[^>]*>(.*?)</td>', page.text, re.DOTALL)
    assert {mark for mark, _ in cells} == {"better", "worse"}
    for mark, inner in cells:
        assert ("▲" if mark == "better" else "▼") in inner
        assert mark in inner


def test_each_cell_says_what_change_its_items_can_show(run: Store, page: Page) -> None:
    for row in build_matrix(run).rows:
        for entry in row.entries:
            if entry.after is not None and entry.detectable is not None:
                words = f"minimum detectable change: {entry.detectable:.2f}"
                assert f'{words}"' in page.text
    assert page.shown.count("minimum detectable change") >= 2


def test_the_leaderboard_is_near_the_top_with_its_controls_and_costs(run: Store) -> None:
    text = report(run)
    assert text.index('<section id="leaderboard"') < text.index('<section id="matrix"')
    section = text.split('<section id="leaderboard"')[1].split("</section>")[0]
    for part in ("net of identity", "perplexity", "harmed", "improvement", "distance"):
        assert part in section


def test_seeds_are_one_row_and_each_by_itself_is_folded_away(tmp_path: Path) -> None:
    store = make_run(tmp_path, seeds=range(5), sources=["gender"], maskers=["wordlist", "random"])
    text = report(store)
    matrix = text.split('<section id="matrix"')[1].split("</section>")[0]
    shown, folded = matrix.split("<details>")
    assert "mlm-unlearning + wordlist, 5 fits" in shown
    assert "seed 4" not in shown
    assert "mlm-unlearning + wordlist, seed 4" in folded
    (row,) = (r for r in build_matrix(store).pooled if r.cell.masker == "wordlist")
    entry = row.entries[0]
    assert entry.spread is not None
    assert f"{abs(entry.change or 0.0):.2f} ± {entry.spread.sd:.2f}" in shown
    assert "Over fits alone" in text.split('<section id="leaderboard"')[1].split("</section>")[0]


# -- data behind the figures -----------------------------------------------------------------


def test_curves_are_the_stored_scores_and_one_seed_has_an_interval(run: Store) -> None:
    reader, matrix = RunReader(run), build_matrix(run)
    (panel,) = bias_panels(reader, matrix)["gender"]
    curve = next(c for c in panel.curves if c.label == "mlm-unlearning + wordlist from gender")
    assert [p.step for p in curve.points] == [0, 10, 20, 30]
    expected = [pairs("gender", 0.5 * s / 30, lean=0.8).metrics[0].value for s in (0, 10, 20, 30)]
    assert [p.value for p in curve.points] == expected
    last = curve.points[-1]
    assert last.low is not None
    assert last.high is not None
    assert last.low <= last.value <= last.high
    failed = next(c for c in panel.curves if c.label.endswith("wordlist from race"))
    assert [p.step for p in failed.points] == [0, 10, 20]
    assert panel.ideal == 50.0


def test_seeds_are_a_mean_with_their_range(tmp_path: Path) -> None:
    store = make_run(tmp_path, seeds=(0, 1, 4), sources=("gender",), steps=(10,))
    (panel,) = bias_panels(RunReader(store), build_matrix(store))["gender"]
    (curve,) = panel.curves
    values = [pairs("gender", 0.5 + 0.03 * seed).metrics[0].value or 0.0 for seed in (0, 1, 4)]
    point = curve.points[-1]
    assert point.value == pytest.approx(sum(values) / 3)
    assert (point.low, point.high) == (min(values), max(values))


def test_figure_1_is_relative_to_the_base(run: Store) -> None:
    panels = perplexity_panels(RunReader(run))
    assert len(panels) == 4
    for panel in panels:
        assert all(c.points[0].value == 1.0 for c in panel.curves)
    own = {c.group: c for c in panels[0].curves}
    assert list(own) == ["wikitext2", "gender texts, unlearned", "gender texts, unseen"]
    # nats rise by 0.5 and by 0.6 * 0.5 at step 30; by 0.1 * 0.5 on plain text
    assert own["gender texts, unlearned"].points[-1].value == pytest.approx(2.718281828**0.5)
    assert own["gender texts, unseen"].points[-1].value == pytest.approx(2.718281828**0.3)
    assert own["wikitext2"].points[-1].value == pytest.approx(2.718281828**0.05)


def test_pareto_front() -> None:
    points = [(10.0, 5.0), (11.0, 3.0), (12.0, 4.0), (13.0, 1.0), (10.0, 6.0)]
    assert pareto_front(points, LOWER) == ((10.0, 5.0), (11.0, 3.0), (13.0, 1.0))
    assert pareto_front(points, HIGHER) == ((13.0, 1.0),)


def test_trade_off_leaves_out_checkpoints_that_lack_a_score(run: Store) -> None:
    plot = trade_off(RunReader(run), build_matrix(run))
    assert plot is not None
    assert plot.base is not None
    ways = {fit.label: [step for step, _, _ in way] for fit, way in plot.paths}
    assert ways["mlm-unlearning + wordlist from gender"] == [10, 20, 30]
    assert ways["mlm-unlearning + wordlist from race"] == [10, 20]
    assert set(plot.front) <= {plot.base} | {(x, y) for _, way in plot.paths for _, x, y in way}


def test_items_move_by_the_margin_of_their_two_scores(run: Store) -> None:
    panels = spread_panels(RunReader(run), build_matrix(run))
    gender = next(p for p in panels if p.column.domain == "gender")
    assert gender.unit == "margin (nats a token)"
    spread = next(s for s in gender.spreads if s.fit.method == "mlm-unlearning + wordlist")
    assert spread.changes == pytest.approx([-0.5] * 40)
    assert all(not s.fit.control for p in panels for s in p.spreads)
    perplexity = next(p for p in panels if p.column.domain == "none")
    assert perplexity.unit == "nats a token"
    assert perplexity.spreads[0].changes == pytest.approx([0.05] * 8)
    before, after = (pairs("gender", shift, lean=0.8) for shift in (0.0, 0.5))
    old, new = (ItemTable.of_items(m.items).column("prefers_stereotype") for m in (before, after))
    assert (spread.gained, spread.lost) == (sum(new > old), sum(new < old))


def test_more_curves_than_can_be_told_apart_are_split_by_source(tmp_path: Path) -> None:
    many = {"methods": [f"m{i}" for i in range(5)], "sources": ["gender", "race"]}
    store = make_run(tmp_path, **many)  # type: ignore[arg-type]
    panels = bias_panels(RunReader(store), build_matrix(store))["gender"]
    assert [len(panel.curves) for panel in panels] == [5, 5]
    assert [panel.title.rsplit(", ", 1)[1] for panel in panels] == ["from gender", "from race"]
    plot = trade_off(RunReader(store), build_matrix(store))
    assert plot is not None
    assert plot.merged
    assert [fit.source for fit, _ in plot.paths] == [None] * 6  # one a method, and `identity`
    once = make_run(tmp_path, name="once", steps=[10], **many)  # type: ignore[arg-type]
    assert bias_panels(RunReader(once), build_matrix(once)) == {}


def test_halves_are_averaged_over_seeds(tmp_path: Path) -> None:
    store = make_run(tmp_path, seeds=[0, 1], sources=["gender"], targets=["gender"])
    matrix = build_matrix(store)
    (panel,) = halves_panels(matrix)
    (row,) = panel.rows
    entries = [r.entries[0] for r in matrix.rows if r.cell.debiaser != "identity"]
    assert row.seeds == len(entries) == 2
    moves = {move.name: move for move in row.moves}
    assert list(moves) == ["stereo", "antistereo", "balanced", "all"]
    after = [h.after.value for e in entries for h in e.halves if h.name == "stereo"]
    assert moves["stereo"].after == pytest.approx(sum(after) / 2)  # type: ignore[arg-type]


def test_ticks_are_round_and_inside() -> None:
    for low, high in ((0.0, 1.0), (47.3, 58.9), (-0.013, 0.02), (1e4, 9e4)):
        found = svg.ticks(low, high)
        assert 3 <= len(found) <= 11
        assert all(low - 1e-9 <= t <= high + 1e-9 for t in found)
    assert svg.ticks(3.0, 3.0) == [3.0]


# -- figures for papers, and the command -----------------------------------------------------


def test_figures_in_three_formats_and_the_same_each_time(tmp_path: Path) -> None:
    run = make_run(tmp_path, sources=("gender",), targets=("gender",))
    result = CliRunner().invoke(
        cli, ["report", str(run.folder), "--figures", str(tmp_path / "figures")]
    )
    assert result.exit_code == 0, result.output
    files = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    stems = {name.rsplit(".", 1)[0] for name in files}
    assert {"figure-1-perplexity", "bias-against-language", "steps-gender"} <= stems
    assert "matrix-pairs-hf-nll-stereotype-score" in stems
    assert len(files) == 3 * len(stems)
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for name, content in files.items():
        assert content.startswith(starts[name.rsplit(".", 1)[1]])
    for path in figures.write_figures(RunReader(run), build_matrix(run), tmp_path / "again"):
        assert path.read_bytes() == files[path.name], path.name


def test_mistakes_are_one_line(run: Store, tmp_path: Path) -> None:
    runner = CliRunner()
    nowhere = runner.invoke(
        cli, ["report", str(run.folder), "--out", str(tmp_path / "no" / "r.html")]
    )
    assert isinstance(nowhere.exception, HarnessError)
    assert "cannot write: No such file" in str(nowhere.exception)
    (tmp_path / "file").write_text("")
    blocked = runner.invoke(cli, ["report", str(run.folder), "--figures", str(tmp_path / "file/x")])
    assert isinstance(blocked.exception, HarnessError)
    assert "\n" not in str(blocked.exception)


@pytest.mark.parametrize(("missing", "option"), [("jinja2", "--out"), ("matplotlib", "--figures")])
def test_a_missing_library_is_named_with_its_extra(
    run: Store, tmp_path: Path, missing: str, option: str
) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom harness.cli.main import main; main()"
    words = ["report", str(run.folder), option, str(tmp_path / "out")]
    result = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=REPO, capture_output=True, text=True
    )
    assert result.returncode == 4
    assert result.stderr.startswith("harness: ")
    assert "pip install 'bias-transfer-harness[report]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1
