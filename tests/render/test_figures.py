"""Figures: the data behind them, how they are drawn, and that they can be read."""

from __future__ import annotations

import io
import itertools
import re
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fontTools import subset
from fontTools.ttLib import TTFont
from made_runs import make_run, pairs
from PIL import Image, ImageColor

from harness.analysis.halves import halves_panels
from harness.analysis.item_changes import spread_panels
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.step_curves import RunCurves
from harness.analysis.trade_off import pareto_front
from harness.cli.main import cli
from harness.metrics import HIGHER, LOWER
from harness.render import palette
from harness.render.figures.canvas import PDF_TABLES, Figure, settled, style
from harness.render.figures.catalogue import RunFigures, figures_of, write_figures
from harness.render.figures.grid import TALLEST
from harness.storage.item_table import ItemTable
from harness.storage.reader import RunReader
from harness.storage.store import Store


def curves_of(store: Store) -> RunCurves:
    return RunCurves(RunReader(store), matrix_of(store))


def drawn_from(store: Store) -> RunFigures:
    return figures_of(RunReader(store), matrix_of(store))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three steps, two sources, two methods, a failed checkpoint."""
    return make_run(
        tmp_path_factory.mktemp("run"),
        maskers=("wordlist", "random"),
        fail={("race", 30)},
        lean=0.8,
    )


# -- data behind the figures -----------------------------------------------------------------


def test_curves_are_the_stored_scores_and_one_seed_has_an_interval(run: Store) -> None:
    reader, matrix = RunReader(run), matrix_of(run)
    (panel,) = RunCurves(reader, matrix).bias_panels["gender"]
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
    (panel,) = curves_of(store).bias_panels["gender"]
    (curve,) = panel.curves
    values = [pairs("gender", 0.5 + 0.03 * seed).metrics[0].value or 0.0 for seed in (0, 1, 4)]
    point = curve.points[-1]
    assert point.value == pytest.approx(sum(values) / 3)
    assert (point.low, point.high) == (min(values), max(values))


def test_figure_1_is_relative_to_the_base(run: Store) -> None:
    panels = curves_of(run).perplexity_panels
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
    plot = curves_of(run).trade_off
    assert plot is not None
    assert plot.base is not None
    ways = {fit.label: [step for step, _, _ in way] for fit, way in plot.paths}
    assert ways["mlm-unlearning + wordlist from gender"] == [10, 20, 30]
    assert ways["mlm-unlearning + wordlist from race"] == [10, 20]
    assert set(plot.front) <= {plot.base} | {(x, y) for _, way in plot.paths for _, x, y in way}


def test_items_move_by_the_margin_of_their_two_scores(run: Store) -> None:
    panels = spread_panels(RunReader(run), matrix_of(run))
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
    panels = curves_of(store).bias_panels["gender"]
    assert [len(panel.curves) for panel in panels] == [5, 5]
    assert [panel.title.rsplit(", ", 1)[1] for panel in panels] == ["from gender", "from race"]
    plot = curves_of(store).trade_off
    assert plot is not None
    assert plot.merged
    assert [fit.source for fit, _ in plot.paths] == [None] * 6  # one a method, and `identity`
    once = make_run(tmp_path, name="once", steps=[10], **many)  # type: ignore[arg-type]
    assert curves_of(once).bias_panels == {}


def test_halves_are_averaged_over_seeds(tmp_path: Path) -> None:
    store = make_run(tmp_path, seeds=[0, 1], sources=["gender"], targets=["gender"])
    matrix = matrix_of(store)
    (panel,) = halves_panels(matrix)
    (row,) = panel.rows
    entries = [r.entries[0] for r in matrix.rows if r.cell.debiaser != "identity"]
    assert row.seeds == len(entries) == 2
    moves = {move.name: move for move in row.moves}
    assert list(moves) == ["stereo", "antistereo", "balanced", "all"]
    after = [h.after.value for e in entries for h in e.halves if h.name == "stereo"]
    assert moves["stereo"].after == pytest.approx(sum(after) / 2)  # type: ignore[arg-type]


# -- figures for papers, and the command -----------------------------------------------------


def test_figures_in_three_formats_and_the_same_each_time(tmp_path: Path) -> None:
    run = make_run(tmp_path, sources=("gender",), targets=("gender",))
    result = CliRunner().invoke(
        cli, ["report", str(run.folder), "--figures", str(tmp_path / "figures")]
    )
    assert result.exit_code == 0, result.output
    files = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    stems = {name.rsplit(".", 1)[0] for name in files}
    assert {"perplexity", "bias-against-language", "steps-gender"} <= stems
    assert "matrix-pairs-hf-nll-stereotype-score" in stems
    assert len(files) == 3 * len(stems)
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for name, content in files.items():
        assert content.startswith(starts[name.rsplit(".", 1)[1]])
    for path in write_figures(drawn_from(run), tmp_path / "again"):
        assert path.read_bytes() == files[path.name], path.name


def drawn_files(store: Store) -> dict[str, bytes]:
    """The files of one figure with text."""
    return next(figure for figure in drawn_from(store) if figure.name == "steps-gender").files()


def test_figures_that_two_processes_write_are_the_same(
    run: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)  # with it, one process does it all
    figures = drawn_from(run)
    one, two = (
        [
            (path.name, path.read_bytes())
            for path in write_figures(figures, tmp_path / str(n), ("svg",), processes=n)
        ]
        for n in (1, 2)
    )
    assert len(one) > 5
    assert sorted(one) == sorted(two)


def test_a_picture_is_opaque_and_of_a_paper_s_resolution(run: Store) -> None:
    picture = Image.open(io.BytesIO(drawn_files(run)["png"]))
    assert picture.mode == "RGB"
    assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert picture.getpixel((0, 0)) == ImageColor.getrgb(palette.LIGHT["sheet"])


def test_a_pdf_embeds_outlines_and_widths_of_its_letters_and_nothing_else(run: Store) -> None:
    load_font = subset.load_font
    content = drawn_files(run)["pdf"]
    assert subset.load_font is load_font
    fonts = []
    for found in re.finditer(rb"/Length1 (\d+).*?>>\s*stream\r?\n", content, re.DOTALL):
        plain = zlib.decompressobj().decompress(content[found.end() :])
        assert len(plain) == int(found[1])
        fonts.append(TTFont(io.BytesIO(plain)))
    assert fonts
    for font in fonts:
        assert set(font.reader.keys()) <= PDF_TABLES
        outlines = [font["glyf"][name] for name in font.getGlyphOrder()]
        assert any(outline.numberOfContours for outline in outlines)
    assert b"/ToUnicode" in content  # so its text can be searched and copied


# -- what can be read ------------------------------------------------------------------------

LONG = "a-method-with-quite-a-long-name-of-its-own $x_2$ <b>"
SHAPES: dict[str, dict[str, Any]] = {
    "two methods": {"maskers": ("wordlist", "random"), "fail": {("race", 30)}},
    "long names": {"methods": [LONG, f"{LONG} too"]},
    "many methods": {"methods": [f"method-{i}" for i in range(30)]},
    "one step": {"steps": [50]},
    "nine targets": {"targets": [f"domain-{i}" for i in range(9)], "sources": ["domain-1"]},
    "seeds": {"seeds": [0, 1, 2]},
}


@pytest.fixture(scope="module", params=SHAPES)
def figures(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Figure]:
    shape = SHAPES[request.param]
    return list(drawn_from(make_run(tmp_path_factory.mktemp("shape"), **shape)))


def hidden_ticks(drawn: Any) -> set[int]:
    """Return the ids of labels outside the view, which matplotlib keeps but does not draw."""
    hidden = set()
    for axis in drawn.axes:
        for one in (axis.xaxis, axis.yaxis):
            low, high = sorted(one.get_view_interval())
            for tick in one.get_major_ticks():
                inside = low - 1e-9 <= tick.get_loc() <= high + 1e-9
                if not (axis.axison and inside):
                    hidden.add(id(tick.label1))
    return hidden


@pytest.mark.parametrize("saved", [False, True], ids=["in a notebook", "as saved"])
def test_no_label_covers_another_or_leaves_the_figure(figures: list[Figure], saved: bool) -> None:
    from matplotlib.text import Text

    for figure in figures:
        with style():
            drawn = settled(figure.draw()) if saved else figure.draw()
            drawn.canvas.draw()
            hidden = hidden_ticks(drawn)
            renderer = drawn.canvas.get_renderer()
            boxes = [
                (artist.get_text(), artist.get_window_extent(renderer))
                for artist in drawn.findobj(Text)
                if artist.get_visible() and artist.get_text().strip() and id(artist) not in hidden
            ]
        width, height = drawn.canvas.get_width_height()
        assert len(boxes) > 4
        for words, box in boxes:
            assert box.x0 > -1, (figure.name, words)
            assert box.x1 < width + 1, (figure.name, words)
            assert box.y0 > -1, (figure.name, words)
            assert box.y1 < height + 1, (figure.name, words)
        for (one, a), (other, b) in itertools.combinations(boxes, 2):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            up = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert across <= 1 or up <= 1, (figure.name, one, other)


def test_a_matrix_stays_of_a_page_s_height_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    domains = [f"domain-{i}" for i in range(9)]
    store = make_run(tmp_path, methods=["a", "b", "c", "d", "e"], sources=domains,
                     targets=domains, steps=[50], evaluators=("pairs",))  # fmt: skip
    (figure,) = drawn_from(store).grids
    drawn = figure.matplotlib()
    names = [text.get_text() for text in drawn.axes[0].texts if text.get_weight() == "bold"]
    shown = [name for name in names if name[0] in "abcde"]
    assert [name[0] for name in shown] == ["a", "b", "c", "d"]
    assert "the first 4 of 6 methods" in figure.title  # the sixth is the control
    assert drawn.get_figheight() < TALLEST + 1.5
    assert len(figure.numbers.rows) == 5 * 9 + 1  # the table below it has all of them


def test_every_figure_has_axis_labels_and_a_legend(figures: list[Figure]) -> None:
    for figure in figures:
        with style():
            drawn = figure.draw()
        (axis,) = drawn.axes
        legends = [*drawn.legends, *([axis.get_legend()] if axis.get_legend() else [])]
        assert legends, figure.name
        assert all(text.get_text() for legend in legends for text in legend.get_texts())
        if figure.name.startswith("matrix"):  # rows and columns are named beside the cells
            assert any(text.get_text().startswith("from") for text in axis.texts)
            continue
        assert axis.get_xlabel(), figure.name
        assert axis.get_ylabel() or axis.get_yticklabels()[0].get_text(), figure.name


def test_every_colour_is_of_the_palette(figures: list[Figure]) -> None:
    """On the page a colour is a variable of the theme; files have its light value."""
    known = {value.lower() for value in palette.LIGHT.values()}
    for figure in figures:
        inline = figure.inline()
        assert "var(--" in inline
        assert re.findall(r"#[0-9a-f]{6}\\b", inline) == []
        svg = figure.files(["svg"])["svg"].decode()
        assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg)) <= known, figure.name


def test_every_name_is_used_once_and_can_be_a_file(figures: list[Figure]) -> None:
    names = [figure.name for figure in figures]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_texts_are_never_read_as_mathematics_or_markup(tmp_path: Path) -> None:
    store = make_run(tmp_path, methods=[LONG], sources=["gender"], targets=["gender"])
    for figure in drawn_from(store):
        inline = figure.inline()
        assert "<b>" not in inline
        assert "$x_2$" in inline or "method-with" not in inline


def test_many_fits_are_summarised_and_drawn_quickly(tmp_path: Path) -> None:
    """A hundred fits are as quick to draw as ten, and every figure stays of a page's size."""
    store = make_run(
        tmp_path, methods=[f"method-{i}" for i in range(25)], maskers=("wordlist", "random")
    )
    curves = curves_of(store)
    for panels in (*curves.bias_panels.values(), curves.perplexity_panels):
        assert len(panels) == 1
        assert panels[0].summary
        assert len(panels[0].curves) <= 4
    began = time.process_time()
    drawn = list(drawn_from(store))
    sizes = [len(figure.inline()) for figure in drawn]
    assert len(drawn) < 20
    assert max(sizes) < 400_000
    assert time.process_time() - began < 25
    for panel in curves.bias_panels["gender"]:
        own = next(c for c in panel.curves if c.group == "debiased in gender")
        last = own.points[-1]
        assert last.low is not None
        assert last.high is not None
        assert last.low <= last.value <= last.high


def test_change_over_dose_is_a_line_or_points_of_fits_that_were_read_once(tmp_path: Path) -> None:
    evaluators = ("pairs", "neutral-kl")
    store = make_run(tmp_path / "a", evaluators=evaluators, lean=0.8, seeds=(0, 1))
    reader, matrix = RunReader(store), matrix_of(store)
    panels = RunCurves(reader, matrix).dose_panels
    assert [panel.column.domain for panel in panels] == ["gender", "race", "religion"]
    panel = panels[0]
    fit, points = next(own for own in panel.curves if own[0].source == "race")
    assert fit in panel.joined
    assert [point.step for point in points] == [10, 20, 30]
    shifts = [[0.6 * step / 30 + 0.03 * seed for seed in (0, 1)] for step in (10, 20, 30)]
    doses = [sum(0.02 * shift**2 for shift in own) / 2 for own in shifts]
    assert [point.dose for point in points] == pytest.approx(doses)
    scores = [sum(pairs("gender", shift, lean=0.8).metrics[0].value or 0 for shift in own) / 2
              for own in shifts]  # fmt: skip
    base = pairs("gender", 0.0, lean=0.8).metrics[0].value
    assert panel.base == base
    assert [p.change for p in points] == pytest.approx([score - (base or 0) for score in scores])
    figure = figures_of(reader, matrix).dose[0]
    axes = figure.matplotlib().axes[0]
    lines = {tuple(line.get_xdata())[1:]: line for line in axes.get_lines()}
    drawn = lines[tuple(point.dose for point in points)]
    assert drawn.get_linestyle() != "None"
    assert drawn.get_xdata()[0] == drawn.get_ydata()[0] == 0.0
    assert "nats a token" in axes.get_xlabel()
    assert "change of stereotype_score" in axes.get_ylabel().replace("\n", " ")
    labels = [text.get_text() for text in figure.matplotlib().legends[0].get_texts()]
    assert {"ideal", "no change"} < set(labels)
    assert figure.name == "dose-gender-pairs"
    assert len(figure.numbers.rows) == 2 * 3 + 2  # two sources, and `identity` from each

    once = make_run(tmp_path / "b", evaluators=evaluators, lean=0.8, seeds=(0, 1), steps=(30,))
    panel = curves_of(once).dose_panels[0]
    fit, points = next(own for own in panel.curves if own[0].source == "race")
    assert not panel.joined
    assert [p.dose for p in points] == pytest.approx([0.02 * 0.6**2, 0.02 * 0.63**2])
    axes = drawn_from(once).dose[0].matplotlib().axes[0]
    dots = [line for line in axes.get_lines() if line.get_linestyle() == "None"]
    assert [p.dose for p in points] in [list(line.get_xdata()) for line in dots]
    assert not drawn_from(make_run(tmp_path / "c", evaluators=("pairs",))).dose
