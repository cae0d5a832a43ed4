"""Makes docs/notebook.ipynb: a run from spec to matrix, executed.

Run ``python docs/_site/notebook.py`` after you change a cell here or how results are shown.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from textwrap import dedent

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebook.ipynb"

CELLS: tuple[tuple[str, str], ...] = (
    (
        "markdown",
        """
        # From a spec to a matrix

        This notebook debiases a small real model (SmolLM2-135M) in two domains and measures
        what happens in both. It uses the suites that ship with the harness, and few items, so that
        it runs in about a minute on a laptop. **The numbers say nothing about the method**: for
        that, see the [tutorial](tutorial.md).
        """,
    ),
    (
        "code",
        """
        from harness import Experiment, open_run

        experiment = Experiment.from_spec(
            "quickstart",
            source=["gender", "race"],
            targets=["gender", "race"],
            evaluators=["embedded-pairs", "embedded-perplexity"],
            steps=[5],
            **{"limits.items": 24, "limits.passages": 16},
        )
        """,
    ),
    (
        "markdown",
        """
        `survey` says what would run and what is missing. It loads no model. Keywords override keys
        of the spec, as `--set` does on the command line.
        """,
    ),
    (
        "code",
        """
        survey = experiment.survey()
        print(len(experiment.plan().tasks()), "tasks; problems:", list(survey.problems))
        """,
    ),
    (
        "markdown",
        "`run` writes each result as soon as it exists. Run the cell again to resume.",
    ),
    (
        "code",
        """
        outcome = experiment.run()
        print(outcome.reused + outcome.measured, "results;", len(outcome.failures), "failures")
        """,
    ),
    (
        "markdown",
        """
        ## The matrix

        Each small grid is a method. Rows are the domains it was debiased in, columns the domains it
        was measured in. Blue is nearer to the ideal, orange further from it, pale not significant.
        """,
    ),
    (
        "code",
        """
        run = open_run(experiment.folder)
        run.matrix()
        """,
    ),
    (
        "markdown",
        """
        ## What it costs

        The leaderboard ranks methods by their distance to the ideal and shows the language cost
        next to it. Controls such as `identity` have no rank.
        """,
    ),
    ("code", "run.leaderboard()"),
    (
        "markdown",
        """
        ## The items behind a number

        `changes` lists the items whose decision flipped, the largest change first. `items` returns
        all of them. `sentences=True` shows the texts too; many are offensive.
        """,
    ),
    ("code", 'run.changes("mlm-unlearning/wordlist/gender", target="gender")'),
    (
        "markdown",
        "Every number of the run is in one long table: `run.to_pandas()` gives it as a data frame.",
    ),
    (
        "code",
        """
        rows = run.rows()
        known = [row for row in rows if row["improvement"] is not None]
        worst = min(known, key=lambda row: row["improvement"])
        print(len(rows), "numbers; the worst change:", worst["metric"], "on", worst["target"])
        """,
    ),
    (
        "markdown",
        """
        Figures are objects, which a notebook draws. `figure.matplotlib()` gives one to change it,
        and `figure.files()` saves it.
        """,
    ),
    (
        "code",
        """
        print([figure.name for figure in run.figures])
        run.figure("bias-against-language")
        """,
    ),
)


def cells() -> list[tuple[str, str]]:
    """Return the kind and the source of each cell."""
    return [(kind, dedent(source).strip()) for kind, source in CELLS]


def main() -> None:
    """Execute the cells in an empty folder and write the notebook with its output."""
    import nbformat
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    notebook = new_notebook()
    for number, (kind, source) in enumerate(cells()):
        make = new_markdown_cell if kind == "markdown" else new_code_cell
        notebook.cells.append(make(source, id=f"cell-{number}"))
    os.environ.setdefault("HARNESS_PLUGINS", "corpora,maskers,debiasers,evaluators,models")
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress"  # tqdm, without ipywidgets
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=600, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times: they would differ in every version
    notebook.metadata.pop("widgets", None)
    NOTEBOOK.write_text(nbformat.writes(notebook) + "\n", "utf-8")


if __name__ == "__main__":
    main()
