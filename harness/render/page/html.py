"""The page of a run as one HTML file that needs no network and runs no script, and parts of it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from harness.errors import DataError
from harness.render import palette
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


def html_page(page: Page) -> str:
    """Lay out a page.

    Raises:
        DataError: Jinja2 or matplotlib is not installed.
    """
    return _laid_out("report.html.j2", _style(), page=page)


def html_part(part: Part) -> str:
    """Lay out a part of the page as an element that a notebook can show.

    Its style applies to the element alone.

    Raises:
        DataError: Jinja2 is not installed.
    """
    nested = _style().replace(":root", "&").replace("\nbody {", "\n& {")
    return _laid_out("notebook.html.j2", f".harness-view {{\n{nested}\n}}", part=part)


def _laid_out(template: str, style: str, **values: object) -> str:
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
    environment.filters["drawing"] = lambda figure: Markup(figure.inline())
    environment.filters["numbers"] = lambda figure: view_of_numbers(figure.numbers, figure.title)
    return environment.get_template(template).render(style=Markup(style), **values)


def _template(name: str) -> str:
    return (files("harness.render.page") / "templates" / name).read_text("utf-8")


def _style() -> str:
    return f"{palette.css()}\n{_template('report.css')}"
