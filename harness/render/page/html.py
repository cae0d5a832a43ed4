"""The page of a run as one HTML file that needs no network and runs no script, and parts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from harness import __version__
from harness.errors import DataError
from harness.forks import forked_map
from harness.render import palette
from harness.render.figures.canvas import Figure
from harness.render.page.content import GridSet, Page
from harness.render.page.views import TableView, view_of_numbers
from harness.render.safe_text import printable


@dataclass(frozen=True)
class Part:
    """What a notebook shows of a run.

    Attributes:
        headline: a sentence above everything else; empty for none.
        grids: the matrix as small grids, a set for each metric.
        tables: tables below them.
    """

    headline: str = ""
    grids: tuple[GridSet, ...] = ()
    tables: tuple[TableView, ...] = ()


def html_page(page: Page, *, processes: int = 1) -> str:
    """Lay out a page.

    Args:
        page: what it shows.
        processes: how many may draw its figures.

    Raises:
        DataError: Jinja2 or matplotlib is not installed.
    """
    figures = list(page.figures)
    drawn = forked_map(Figure.inline, figures, processes)
    drawings = {figure.name: text for figure, text in zip(figures, drawn, strict=True)}
    return _laid_out("report.html.j2", _style(), {"page": page}, drawings)


def html_publication(
    title: str,
    runs: Sequence[Mapping[str, object]],
    boards: Sequence[TableView],
    index: str,
) -> str:
    """Lay out the page in front of several published runs.

    Args:
        title: of the publication.
        runs: what each run is, and where its files are below the page.
        boards: the leaderboard over all of them, and what follows from it.
        index: name of the file that says the same for programs.

    Raises:
        DataError: Jinja2 is not installed.
    """
    values = {"title": title, "runs": runs, "boards": boards, "index": index}
    return _laid_out("publication.html.j2", _style(), {**values, "version": __version__})


def html_part(part: Part) -> str:
    """Lay out a part of the page as an element that a notebook can show.

    Its style applies to the element alone.

    Raises:
        DataError: Jinja2 is not installed.
    """
    nested = _style().replace(":root", "&").replace("\nbody {", "\n& {")
    return _laid_out("notebook.html.j2", f".harness-view {{\n{nested}\n}}", {"part": part})


def _laid_out(
    template: str,
    style: str,
    values: Mapping[str, object],
    drawings: Mapping[str, str] = MappingProxyType({}),
) -> str:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise DataError(
            "the page needs Jinja2; pip install 'bias-transfer-harness[report]'"
        ) from None
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # neither the style nor a figure can bring markup in: figures escape all their texts
    environment.filters["drawing"] = lambda figure: Markup(drawings[figure.name])
    environment.filters["numbers"] = lambda figure: view_of_numbers(figure.numbers, figure.title)
    return environment.get_template(template).render(style=Markup(style), **values)


def _template(name: str) -> str:
    return (files("harness.render.page") / "templates" / name).read_text("utf-8")


def _style() -> str:
    return f"{palette.css()}\n{_template('report.css')}"
