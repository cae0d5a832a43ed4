"""The page of a run as one HTML file that needs no network and runs no script."""

from __future__ import annotations

from importlib.resources import files

from harness.errors import DataError
from harness.render import palette
from harness.render.page.content import Page
from harness.render.page.views import view_of_numbers
from harness.render.safe_text import printable


def html_page(page: Page) -> str:
    """Lay out a page.

    Raises:
        DataError: Jinja2 or matplotlib is not installed.
    """
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise DataError(
            "the page needs Jinja2; pip install 'bias-transfer-harness[report]'"
        ) from None
    folder = files("harness.render.page") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = f"{palette.css()}\n{(folder / 'report.css').read_text('utf-8')}"
    # neither the style nor a figure can bring markup in: figures escape all their texts
    environment.filters["drawing"] = lambda figure: Markup(figure.inline())
    environment.filters["numbers"] = lambda figure: view_of_numbers(figure.numbers, figure.title)
    return environment.get_template("report.html.j2").render(style=Markup(style), page=page)
