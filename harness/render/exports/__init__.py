"""Formats in which a run is exported. A new one is a module here and a line in `FORMATS`."""

from __future__ import annotations

from harness.render.exports.cells_file import CELLS
from harness.render.exports.csv_file import CSV
from harness.render.exports.every_eval_ever import EVERY_EVAL_EVER
from harness.render.exports.export_format import ExportFormat, FolderFormat
from harness.render.exports.json_file import JSON
from harness.render.exports.latex import LATEX
from harness.render.exports.markdown import MARKDOWN
from harness.render.exports.parquet_file import PARQUET

FORMATS: dict[str, ExportFormat | FolderFormat] = {
    known.name: known for known in (CSV, PARQUET, MARKDOWN, LATEX, JSON, CELLS, EVERY_EVAL_EVER)
}
"""Every export format by name; the first one is the default."""
