"""The card of an exported model: what it is, what it cost, and what was measured.

``README.md`` is the card that the Hugging Face hub shows; ``.eval_results/*.yaml`` are the numbers
in the form that the hub reads (https://huggingface.1319lm.top/docs/hub/eval-results).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from harness import __version__
from harness.analysis.costs import language_cost
from harness.analysis.entry import Entry
from harness.analysis.matrix import Matrix, Row
from harness.analysis.matrix_builder import matrix_of
from harness.errors import StoreError
from harness.render.exports.markdown import escape
from harness.render.tables.numbers import interval, number, signed
from harness.storage.cells import AXIS_TITLES, Cell
from harness.storage.reader import Stop, stopped_step
from harness.storage.store import Store

CARD = "README.md"
EVAL_RESULTS = Path(".eval_results") / "bias-transfer-harness.yaml"

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LOADING = {
    "weights": """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
```""",
    "adapter": """```python
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained(".")
```""",
}


def write_card(folder: Path, store: Store, cell: Cell, step: int, holds: Sequence[str]) -> None:
    """Write the card and the evaluation results of an exported model into its folder.

    A README that is there already (of projections, which says how they are applied) becomes the
    part of the card about loading.

    Args:
        folder: of the model.
        store: the run.
        cell: of the model.
        step: of the model.
        holds: what is in the folder: ``weights``, ``adapter``, ``projections``.

    Raises:
        StoreError: the run is damaged.
        OSError: a file cannot be written.
    """
    path = folder / CARD
    loading = path.read_text("utf-8") if path.is_file() else ""
    matrix = _matrix(store, step)
    row = _row(matrix, cell, step)
    path.write_text(_card(store, cell, step, holds, matrix, row, loading), "utf-8")
    results = _eval_results(store, cell, step, row)
    if results:
        target = folder / EVAL_RESULTS
        target.parent.mkdir(exist_ok=True)
        text = yaml.safe_dump(results, sort_keys=False, allow_unicode=True)
        target.write_text(text, "utf-8")


def _matrix(store: Store, step: int) -> Matrix | None:
    try:
        return matrix_of(store, step=step)
    except StoreError:
        if next(store.record_keys(), None) is not None:
            raise
        return None  # nothing was measured


def _row(matrix: Matrix | None, cell: Cell, step: int) -> Row | None:
    for row in matrix.rows if matrix is not None else ():
        if (row.cell.identity, row.step) == (cell.identity, step):
            return row
    return None


def _card(
    store: Store,
    cell: Cell,
    step: int,
    holds: Sequence[str],
    matrix: Matrix | None,
    row: Row | None,
    loading: str,
) -> str:
    base = _base(store, cell)
    entries = _measured(row)
    head: dict[str, Any] = {"tags": ["debiasing", "bias-transfer-harness"]}
    if _HUB_NAME.fullmatch(base):
        head["base_model"] = base
        head["base_model_relation"] = "adapter" if tuple(holds) == ("adapter",) else "finetune"
    head["library_name"] = "peft" if "adapter" in holds else "transformers"
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {escape(base)}, debiased with {escape(cell.debiaser or 'nothing')}",
        f"A research model, written by bias-transfer-harness {__version__} from the run "
        f"{escape(store.index().name)}.",
        "## What it is",
        _about(base, cell, step, row.stops[0] if row is not None and row.stops else None, holds),
        "## Results",
        _results(entries, matrix),
        "## Cost",
        _cost(matrix, row),
        "## Warnings",
        _list(_warnings(entries, cell)),
        "## Licence",
        "The licence of the base model applies to this model too, and the licences of the data "
        "that it was debiased with may add conditions. This card does not grant any.",
        "## How to load it",
    ]
    if loading:
        parts.append(re.sub(r"(?m)\A# ", "### ", loading.strip()))
    else:
        parts += [_LOADING[name] for name in holds if name in _LOADING]
    return "\n\n".join(parts) + "\n"


def _base(store: Store, cell: Cell) -> str:
    """The name of the base model on a hub, if the spec gives one; else its label."""
    models = store.index().spec.get("model")
    for use in models if isinstance(models, list) else []:
        config = use.get("config") if isinstance(use, dict) else None
        if isinstance(use, dict) and isinstance(config, dict) and use.get("label") == cell.model:
            identifier = config.get("id")
            if isinstance(identifier, str) and _HUB_NAME.fullmatch(identifier):
                return identifier
    return cell.model


def _about(base: str, cell: Cell, step: int, stop: Stop | None, holds: Sequence[str]) -> str:
    titles = ((title, getattr(cell, axis)) for axis, title in AXIS_TITLES.items())
    axes = {
        **dict(titles),
        AXIS_TITLES["model"]: base,
        "step": stopped_step(step, stop).removeprefix("step "),
        "control": cell.control_kind,
        "files": " and ".join(holds),
    }
    rows = [f"| {name} | {escape(str(value))} |" for name, value in axes.items()
            if value is not None]  # fmt: skip
    return "\n".join(["| | |", "|---|---|", *rows])


def _measured(row: Row | None) -> list[Entry]:
    entries = row.entries if row is not None else ()
    return [e for e in entries if e.status == "measured" and e.value is not None]


def _results(entries: Sequence[Entry], matrix: Matrix | None) -> str:
    if not entries or matrix is None:
        return "Nothing was measured at this step."
    lines = [
        "| evaluator | protocol | domain | metric | ideal | base | this model | change | "
        "unit | 95 % interval | significant |",
        "|---|---|---|---|---|---:|---:|---:|---|---|---|",
    ]
    for e in entries:
        between = interval(*e.interval) if e.interval is not None else ""
        column = e.column
        names = (column.evaluator, column.protocol, column.domain, column.metric)
        cells = [
            *map(escape, names),
            _ideal(e),
            number(e.base.value if e.base else None),
            number(e.value),
            signed(e.change),
            escape(matrix.unit(column).change),
            escape(between),
            _significant(e),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    below = (
        "Significant: the p-value of the change is below 0.05 after correction over the tests of "
        "the run. The interval is over the items of one fit; another seed gives another model."
    )
    return "\n".join(lines) + f"\n\n{below}"


def _ideal(entry: Entry) -> str:
    known = entry.after or entry.base
    if known is None or known.direction.kind == "none":
        return "none"
    target = known.direction.target
    return known.direction.kind if target is None else f"{target:g}"


def _significant(entry: Entry) -> str:
    if entry.adjusted_p is None:
        return "not tested"
    return "yes" if entry.significant else "no"


def _cost(matrix: Matrix | None, row: Row | None) -> str:
    cost = language_cost(matrix) if matrix is not None else None
    entry = row.entry(cost.column) if row is not None and cost is not None else None
    base = entry.base.value if entry is not None and entry.base is not None else None
    if cost is None or entry is None or base is None or entry.value is None:
        return "No metric of language ability was measured: what the method costs is not known."
    unit = " %" if cost.relative else ""
    column = cost.column
    return (
        f"{escape(column.evaluator)} {escape(column.metric)}: {number(base)} before, "
        f"{number(entry.value)} after ({signed(cost.of(base, entry.value))}{unit})."
    )


def _warnings(entries: Sequence[Entry], cell: Cell) -> list[str]:
    paragraphs = [
        f"{escape(e.column.domain)}, {escape(e.column.evaluator)}: {escape(e.warning)}."
        for e in entries
        if e.warning
    ]
    bias = [e for e in entries if e.role == "bias"]
    if cell.control_kind is not None:
        paragraphs.insert(0, "This model is a control: methods are compared with it.")
    if bias and not any(e.significant and e.mark == "better" for e in bias):
        paragraphs.append(
            "No bias score is significantly nearer to its ideal than the base model's."
        )
    worse = [e for e in bias if e.significant and e.mark == "worse"]
    if worse:
        where = ", ".join(dict.fromkeys(escape(e.column.domain) for e in worse))
        paragraphs.append(f"Bias scores are significantly further from their ideal in: {where}.")
    paragraphs.append(
        "The scores are those of benchmarks. They do not show that the model is safe or fair in "
        "use."
    )
    return paragraphs


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _eval_results(store: Store, cell: Cell, step: int, row: Row | None) -> list[dict[str, Any]]:
    """An entry for each measured metric, with the names that the evaluator has in the run."""
    entries = []
    for e in _measured(row):
        date = _date(store, cell, step, e)
        entries.append(
            {
                "dataset": {
                    "id": e.column.evaluator,
                    "task_id": f"{e.column.domain}/{e.column.protocol}/{e.column.metric}",
                },
                "value": e.value,
                **({"date": date} if date else {}),
                "notes": f"ideal: {_ideal(e)}; n={e.after.n if e.after else 0}; "
                f"bias-transfer-harness {__version__}",
            }
        )
    return entries


def _date(store: Store, cell: Cell, step: int, entry: Entry) -> str:
    for ref in cell.measures:
        if (ref.step, ref.evaluator) == (step, entry.column.evaluator):
            record = store.record(ref.key, items=False)
            return record.created_at if record is not None else ""
    return ""
