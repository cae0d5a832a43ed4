"""What every figure is drawn on, and how it becomes a file or a part of the page."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

from harness.errors import DataError
from harness.render import palette
from harness.render.safe_text import one_line, printable

WIDTH = 3.6
"""Inches: a column of a two-column paper, and of the page on a phone."""

LINE = 0.15
"""Height of a line of small text, inches."""

KINDS = ("png", "svg", "pdf")

PNG_LEVEL = 3
"""How hard PNGs are compressed; 6, the usual level, takes twice as long for 10 % less."""

PDF_TABLES = {"cvt ", "fpgm", "glyf", "head", "hhea", "hmtx", "loca", "maxp", "prep"}
"""Tables of a TrueType font that PDF readers use (ISO 32000-1, 9.9)."""

STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.facecolor": "none",
    "axes.edgecolor": palette.LIGHT["muted"],
    "axes.labelcolor": palette.LIGHT["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.linewidth": 0.5,
    "grid.color": palette.LIGHT["rule"],
    "text.color": palette.LIGHT["ink"],
    "text.parse_math": False,
    "xtick.color": palette.LIGHT["muted"],
    "ytick.color": palette.LIGHT["muted"],
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "figure.facecolor": palette.LIGHT["sheet"],
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "bias-transfer-harness",
}


@dataclass(frozen=True)
class Numbers:
    """The numbers of a figure as text: the first column heads the rows."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    """How many columns are flush left."""


@dataclass(frozen=True)
class Figure:
    """A figure of a run.

    Attributes:
        name: short unique name: of its files, and of its place on the page.
        title: what it shows, in one line.
        description: its content in words, for people who cannot see it.
        numbers: the same content as a table.
        draw: draws it with matplotlib; returns a `matplotlib.figure.Figure`.
        group: heading under which figures are shown together, such as a domain.
    """

    name: str
    title: str
    description: str
    numbers: Numbers
    draw: Callable[[], Any]
    group: str = ""

    def matplotlib(self) -> Any:
        """Draw the figure; it belongs to no global state, so nothing has to be closed.

        Raises:
            DataError: matplotlib is not installed.
        """
        with style():
            return self.draw()

    def files(self, kinds: Sequence[str] = KINDS, *, dpi: int = 300) -> dict[str, bytes]:
        """Return the content of a file of each kind; the same numbers give the same bytes.

        Args:
            kinds: any of ``png``, ``svg`` and ``pdf``.
            dpi: resolution of a PNG.

        Raises:
            DataError: matplotlib is not installed.
        """
        with style():
            drawn = settled(self.draw())
            return {kind: _saved(drawn, kind, dpi=dpi) for kind in kinds}

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows; None without matplotlib."""
        try:
            return self.files(("png",), dpi=150)["png"]
        except DataError:
            return None

    def inline(self) -> str:
        """Return the figure as SVG for the page: its colours are the variables of `palette.css`.

        Raises:
            DataError: matplotlib is not installed.
        """
        with style():
            drawn = settled(self.draw())
            drawn.set_facecolor("none")
            text = _saved(drawn, "svg").decode()
        return _inlined(text, self.name, self.title, self.description)


@contextmanager
def style() -> Iterator[None]:
    """Set the style in which figures are drawn, for the length of a block.

    A letter that the font lacks is drawn as an empty box; that is not worth a warning.

    Raises:
        DataError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise DataError(
            "figures need matplotlib; pip install 'bias-transfer-harness[report]'"
        ) from None
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def new(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure and its axes; nothing global, no display.

    Args:
        width: inches.
        height: inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def folded(text: str, width: int) -> str:
    """Break a label into lines of at most ``width`` letters, between words where possible."""
    return "\n".join(textwrap.wrap(printable(text), max(width, 1))) or text


def cut(text: str, letters: int) -> str:
    """Shorten a label to so many letters."""
    text = one_line(text)
    return text if len(text) <= letters else text[: letters - 1] + "…"


def entitle(figure: Any, title: str) -> None:
    """Put a title above a figure, over as many lines as `title_height` allows for."""
    width = figure.get_size_inches()[0]
    figure.suptitle(_title(title, width), fontsize=8, fontweight="bold", x=0.01, ha="left")


def title_height(title: str, width: float) -> float:
    """Return the inches that a title above a figure of a width needs."""
    return LINE * (_title(title, width).count("\n") + 1)


def _title(title: str, width: float) -> str:
    return folded(title, int(width * 12.2))


def legend_height(labels: Sequence[str], columns: int) -> float:
    """Return the inches that a legend below the axes needs."""
    lines = 0
    for first in range(0, len(labels), columns):
        lines += max(label.count("\n") + 1 for label in labels[first : first + columns])
    return LINE * lines + 0.1


def settled(figure: Any) -> Any:
    """Lay a figure out once, so that saving it does not do it again for each kind."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
        for axes in figure.axes:
            _keep_labels(axes)
    return figure


def _keep_labels(axes: Any) -> None:
    """Keep the labels of the axes where they are; else all ticks are measured at each drawing."""
    from matplotlib.transforms import blended_transform_factory

    axes.get_tightbbox()  # puts the labels beside the ticks of the layout as it is now
    width, height = axes.figure.bbox.size
    inside, whole = axes.transAxes, axes.figure.transFigure
    x, y = axes.xaxis.label.get_position()
    axes.xaxis.set_label_coords(x, y / height, blended_transform_factory(inside, whole))
    x, y = axes.yaxis.label.get_position()
    axes.yaxis.set_label_coords(x / width, y, blended_transform_factory(whole, inside))


def _saved(figure: Any, kind: str, *, dpi: int = 72) -> bytes:
    """Return a figure that is laid out as a file; it is drawn once, unlike by ``savefig``."""
    stream = io.BytesIO()
    figure.dpi = dpi
    if kind == "png":
        _write_png(figure, stream)
    elif kind == "svg":  # no date: the same numbers give the same file
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
        stream.write(text.getvalue().encode())
    else:
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        with _bare_fonts():
            FigureCanvasPdf(figure).print_pdf(stream, metadata={"CreationDate": None})
    return stream.getvalue()


def _write_png(figure: Any, stream: io.BytesIO) -> None:
    """Write a PNG without transparency, which matplotlib would keep: quicker, and no larger."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.save(stream, "png", dpi=(figure.dpi, figure.dpi), compress_level=PNG_LEVEL)


@contextmanager
def _bare_fonts() -> Iterator[None]:
    """Embed only those tables of a TrueType font that a PDF needs: its outlines and their widths.

    matplotlib has chosen and placed the glyphs, and writes their letters into the PDF itself.
    Reading the other tables took most of the time of writing a small PDF.
    """
    from fontTools import subset

    original = subset.load_font

    def load_font(*arguments: Any, **options: Any) -> Any:
        font = original(*arguments, **options)
        if "glyf" in font:
            for table in font.reader.keys() - PDF_TABLES:
                del font[table]
            # names would be read from tables that are gone; nothing uses them
            font.setGlyphOrder([f"glyph{k:05d}" for k in range(font["maxp"].numGlyphs)])
        return font

    subset.load_font = load_font
    try:
        yield
    finally:
        subset.load_font = original


_VARIABLES = {value: f"var(--{name})" for name, value in palette.LIGHT.items()}
_FONT = re.compile(r"font-family: [^;\"]*")
_IDS = re.compile(r' id="[a-z0-9.]+_\d+"')


def _inlined(text: str, name: str, title: str, description: str) -> str:
    """Turn a whole SVG file into an element of the page."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = _IDS.sub("", body)
    body = re.sub(r'(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", body)
    body = _FONT.sub("font-family: var(--sans)", body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda match: _VARIABLES.get(match[0], match[0]), body)
    body = re.sub(r"\s*\n\s*", " ", body)
    head = re.match(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', body)
    assert head is not None, "matplotlib writes a view box"
    opening = (
        f'<svg viewBox="{head[1]}" role="img" aria-labelledby="{name}-title {name}-desc" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-title">{escape(one_line(title))}</title>'
        f'<desc id="{name}-desc">{escape(one_line(description))}</desc>'
    )
    return opening + body[head.end() :]
