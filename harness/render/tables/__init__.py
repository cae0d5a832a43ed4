"""Tables for files: Markdown, LaTeX, CSV, Parquet and JSON."""
