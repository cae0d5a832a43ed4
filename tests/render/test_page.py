"""The page of a run: what it says, runs of any shape, structure for readers of every kind."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from fresh_env import REPO
from kept_run import masked_run
from made_runs import make_run

from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.mask_rules import rule_table
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.ranking import rank
from harness.analysis.run_masks import agreement_table, run_masks
from harness.analysis.verdict import verdict
from harness.cli.main import cli
from harness.errors import HarnessError
from harness.render.tables.numbers import number
from harness.replay.masked_texts import find_masked_texts
from harness.storage.reader import RunReader
from harness.storage.store import Store

VOID = {"meta", "link", "br", "input"}
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
    for row in matrix_of(run).rows:
        for entry in row.entries:
            if entry.after is not None and entry.after.value is not None:
                assert f"{entry.after.value:.2f}" in page.shown
    section = page.text.split('<section id="matrix"')[1].split("</section>")[0]
    cells = re.findall(r'<td class="absent[^"]*" title="([^"]*)">\s*<span[^>]*>failed<', section)
    assert cells == ["diverged: loss is nan"] * 2 * 4  # two fits, three targets and perplexity
    assert "diverged: loss is nan" in page.shown


def test_it_holds_what_was_asked_for(page: Page) -> None:
    headings = page.shown
    for part in (
        "All scores",
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


def test_the_agreement_of_maskers_has_passages_only_where_they_are_asked_for(
    tmp_path: Path,
) -> None:
    """A passage shows the masks of both maskers, folded away."""
    ran = masked_run(tmp_path, "wordlist", "random")
    reader = RunReader(ran.store)
    compared = run_masks(reader, find_masked_texts(reader, ran.registry, ran.data, pytest.fail))
    assert compared is not None
    (pair,), ((one, other), *_) = compared.pairs, compared.examples[0]
    for options in ((), ("--sentences",)):
        text = report(ran.store, *options)
        section = text.split('<section id="mask-agreement"')[1].split("</section>")[0]
        part = Page(f"<div>{section.partition('>')[2]}</div>")
        assert f"wordlist random {number(pair.kappa)}" in part.shown
        assert all(line in part.shown for line in agreement_table(compared).legend)
        marked = [f"[{one.passage.text[s.start : s.end]}]" for a in (one, other) for s in a.spans]
        assert all(word in part.words for word in marked) == bool(options)
        assert ("<mark>" in text) == bool(options)
        if options:
            assert part.shown.index("Content warning") < part.shown.index(marked[0])
            assert section.index('<details class="fold">') < section.index("<mark>")
        else:
            assert "--sentences" in part.shown


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
    assert "All scores" in page.shown
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
            assert attrs.get(name, "#").startswith(("#", "data:,", "data:text/csv;base64,")), (
                tag,
                attrs,
            )
        assert not any(name.startswith("on") for name in attrs)
    style = page.text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


def test_structure_for_screen_readers_and_keyboards(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    for landmark in ("nav", "main", "footer", "h1"):
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
    assert links[0] == {"class": "skip", "href": "#matrix"}
    assert all("scope" in attrs for attrs in page.all("th"))
    grids = [attrs for attrs in page.all("table") if attrs.get("class") == "grid-table"]
    assert len(page.all("caption")) == len(page.all("table")) - len(grids)
    assert len(page.all("figcaption")) == len(page.all("figure"))  # each grid is in a figure
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
    section = page.text.split('<section id="matrix"')[1].split("</section>")[0]
    cells = re.findall(r'<td class="(better|worse)-\d[^>]*>(.*?)</td>', section, re.DOTALL)
    assert {mark for mark, _ in cells} == {"better", "worse"}
    for mark, inner in cells:
        assert ("✓" if mark == "better" else "✗") in inner
    grids = page.text.split('<section id="answer"')[1].split("</section>")[0]
    shades = re.findall(r'<td class="(better|worse)-\d[^>]*>([^<]*)</td>', grids)
    assert shades
    for mark, text in shades:
        assert text.strip().startswith("+" if mark == "better" else "−")


def test_strong_shades_are_significant_and_pale_ones_are_not(page: Page) -> None:
    cells = re.findall(r'<td class="(?:better|worse)-(\d)([^"]*)"', page.text)
    assert {shade for shade, _ in cells} >= {"1"}
    for shade, css in cells:
        assert ("significant" in css) == (shade != "1")


def test_the_first_screen_is_the_answer(run: Store, page: Page) -> None:
    matrix = matrix_of(run)
    said = verdict(matrix).text
    answer = page.text.split('<section id="answer"')[1].split("</section>")[0]
    assert "".join(said.split()) in "".join(Page(f"<div>{answer}</div>").shown.split())
    assert page.text.index('id="answer"') < page.text.index("<nav") < page.text.index('id="matrix"')
    assert answer.count("grid-table") == 3  # two maskers and `identity`


def test_mask_rules_are_compared_where_there_are_several(run: Store, page: Page) -> None:
    rules = rule_table(matrix_of(run))
    assert rules is not None
    section = page.text.split('<section id="mask-rules"')[1].split("</section>")[0]
    shown = Page(f"<div>{section.partition('>')[2]}</div>").shown
    assert shown.count("wordlist − random") == len(rules.rows)
    assert all(line in shown for line in rules.legend)
    assert 'href="#mask-rules"' in page.text


def test_the_tables_can_be_taken_from_the_page(run: Store, page: Page) -> None:
    (link,) = (attrs for attrs in page.all("a") if "download" in attrs)
    kind, _, content = link["href"].partition(",")
    assert kind == "data:text/csv;base64"
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(content).decode())))
    matrix = matrix_of(run)
    rules = rule_table(matrix)
    assert rules is not None  # the run has two maskers
    tables = [*matrix_tables(matrix), *board_tables(rank([run])), rules]
    assert len(rows) == sum(len(t.rows) * (len(t.columns) - t.heads) for t in tables)
    for row in rows:
        if row["table"] == "matrix" and row["value"]:
            assert f"{float(row['value']):.2f}" in page.shown


def test_p_values_are_there_and_hidden_until_asked_for(page: Page) -> None:
    assert re.search(r'<span class="below p">p = 0\.\d{3}</span>', page.text)
    style = page.text.split("<style>")[1].split("</style>")[0]
    assert ".below.p { display: none; }" in style
    assert "body:has(#p-values:checked) .below.p { display: block; }" in style


def test_each_cell_says_what_change_its_items_can_show(run: Store, page: Page) -> None:
    matrix = matrix_of(run)
    for row in matrix.rows:
        for entry in row.entries:
            if entry.after is not None and entry.detectable is not None:
                unit = matrix.unit(entry.column).change
                words = f"minimum detectable change: {entry.detectable:.2f} {unit}".rstrip()
                assert f'{words}"' in page.text
    assert page.shown.count("minimum detectable change") >= 2


def test_the_leaderboard_shows_controls_and_costs(run: Store) -> None:
    section = report(run).split('<section id="leaderboard"')[1].split("</section>")[0]
    for part in ("net of identity", "perplexity", "harmed", "improvement", "distance"):
        assert part in section


def test_records_of_another_run_prove_nothing(tmp_path: Path) -> None:
    store = make_run(tmp_path, sources=("gender",), steps=(10,))
    named = {ref.key for cell in store.index().cells for ref in cell.measures}
    other = next(iter(store.record_keys()))
    record = store.record(other)
    assert record is not None
    store.write_record(record.model_copy(update={"key": "f" * len(other)}))
    page = Page(report(store))
    assert f"records {len(named)} " in page.shown


def test_a_cause_is_named_once(tmp_path: Path) -> None:
    fail = {(source, step) for source in ("gender", "race") for step in (10, 20, 30)}
    page = Page(report(make_run(tmp_path, fail=fail)))
    section = page.text.split('<section id="failures"')[1].split("</section>")[0]
    assert section.count("diverged: loss is nan") == 1


def test_seeds_are_one_row_and_each_by_itself_is_folded_away(tmp_path: Path) -> None:
    store = make_run(tmp_path, seeds=range(5), sources=["gender"], maskers=["wordlist", "random"])
    text = report(store)
    matrix = text.split('<section id="matrix"')[1].split("</section>")[0]
    shown, folded = matrix.split("<details>", 1)
    assert "mlm-unlearning + wordlist, 5 fits" in shown
    assert "seed 4" not in shown
    assert "mlm-unlearning + wordlist, seed 4" in folded
    (row,) = (r for r in matrix_of(store).pooled if r.cell.masker == "wordlist")
    entry = row.entries[0]
    assert entry.spread is not None
    assert f"{abs(entry.change or 0.0):.2f} ± {entry.spread.sd:.2f}" in shown
    assert "Over fits alone" in text.split('<section id="leaderboard"')[1].split("</section>")[0]


# -- mistakes ------------------------------------------------------------------------------


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
