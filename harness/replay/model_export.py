"""Writing a debiased model of a stored run into a folder for transformers and peft."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from harness import __version__
from harness.errors import StoreError
from harness.files import new_folder
from harness.lm.handle import LanguageModel
from harness.planning.plan import MeasureTask
from harness.replay.reproduction import Agreement, reproduce
from harness.replay.rerun import Rerun
from harness.storage.cells import Cell

REFIT_TOLERANCE = 1e-2
"""Largest difference, in nats a token, between the scores of a refitted model and the stored ones.
The same machine and libraries give the same bits; on others, rounding grows over the steps."""

CHECKED_ITEMS = 20
"""Items a domain on which a refitted model is compared with the record."""

ORIGIN = "harness.json"
"""Says what the model is: run, cell, step, base model."""


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        how: a kept checkpoint, or a model that was fitted again.
        holds: what is in the folder: weights, or what changes those of the base model.
        agreement: how a refitted model's scores compare with the stored ones; empty: not
            compared.
    """

    how: Literal["kept", "refitted"]
    holds: tuple[str, ...]
    agreement: tuple[Agreement, ...]


def export_model(
    run: Rerun,
    cell: Cell,
    step: int,
    path: Path,
    *,
    merged: bool = False,
    check: bool = True,
    describe: Callable[[Path, tuple[str, ...]], None] | None = None,
) -> Export:
    """Write the model of a cell: its kept checkpoint, or the model fitted again from the spec.

    The folder appears whole or not at all.

    Args:
        run: the stored run.
        cell: a cell of its index.
        step: a step of the cell.
        path: the folder to make.
        merged: fold adapter and projections into the weights.
        check: compare a refitted model with the stored scores, if there are any.
        describe: writes files about the model into its folder; it is given the folder and what
            that holds.

    Raises:
        StoreError: the path is taken or cannot be written, or the scores of a refitted model
            differ from the stored ones.
        ModelError: the model cannot be written as weights, or cannot be merged.
        HarnessError: the cell cannot be fitted again.
    """
    from harness.lm.saving.checkpoint import forms, save_checkpoint

    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise StoreError(f"{path}: cannot write: {error.strerror or error}") from None
    if taken:
        raise StoreError(f"{path} exists and is not empty; give another path")
    kept = run.kept(cell, step)
    agreement: tuple[Agreement, ...] = ()
    with _whole_folder(path) as folder:
        if kept is not None:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
        else:
            tasks = dict(run.measured(cell, step)) if check else {}
            base = partial(run.base, cell.model)
            # before the debiased model is there: one model in memory at a time
            remembered = run.remembered(tasks.values(), base, CHECKED_ITEMS)
            model, before = run.refit(cell, step)
            save_checkpoint(model, folder, before)
            agreement = _checked(run, cell, tasks, model, remembered)
            del model  # frees memory for the merged model
        if merged and forms(folder) != ("weights",):
            _merge(run, cell, folder)
        holds = forms(folder)
        _write_origin(run, cell, step, folder, holds)
        if describe is not None:
            describe(folder, holds)
    return Export("kept" if kept is not None else "refitted", holds, agreement)


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill; it becomes ``path`` at the end, or is removed after an error."""
    try:
        with new_folder(path) as folder:
            yield folder
    except OSError as error:
        raise StoreError(f"{path}: cannot write: {error.strerror or error}") from None


def _checked(
    run: Rerun,
    cell: Cell,
    tasks: Mapping[str, MeasureTask],
    model: LanguageModel,
    remembered: Mapping[str, object],
) -> tuple[Agreement, ...]:
    """Compare a refitted model with the stored scores of its cell.

    Raises:
        StoreError: the scores differ.
    """
    rows = reproduce(run, model, tasks.items(), CHECKED_ITEMS, alone=False, remembered=remembered)
    for row in rows:
        if not row.within(REFIT_TOLERANCE):
            notes = [note for key, task in tasks.items() for note in run.changes(key, task)]
            changed = f" ({'; '.join(dict.fromkeys(notes))})" if notes else ""
            raise StoreError(
                f"{cell.title()}: the model that was fitted again is not the one that was measured"
                f"{changed}: {row.evaluator} differs by {row.largest:.2g} nats a token at "
                f"{row.where or min(row.missing)}; --no-check writes it all the same"
            )
    return tuple(rows)


def _merge(run: Rerun, cell: Cell, folder: Path) -> None:
    """Replace the files of a folder by the model merged from them."""
    from harness.lm.saving.checkpoint import save_checkpoint
    from harness.lm.saving.merging import merge

    model = merge(run.open(folder, cell))
    for part in folder.iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    save_checkpoint(model, folder, None)


def _write_origin(run: Rerun, cell: Cell, step: int, folder: Path, holds: Sequence[str]) -> None:
    (base,) = (use for use in run.spec.model if use.label == cell.model)
    origin = {
        "written_by": f"bias-transfer-harness {__version__}",
        "run": run.index.name,
        "cell": cell.title(),
        "step": step,
        "fit_key": cell.fit_key,
        "holds": list(holds),
        "base": base.model_dump(mode="json", include={"use", "config"}),
        "dtype": run.spec.dtype,
    }
    text = json.dumps(origin, indent=1, ensure_ascii=False)
    (folder / ORIGIN).write_text(text, "utf-8")
