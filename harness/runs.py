"""A run as a Python object: its matrix, leaderboard, items and figures, in notebooks and scripts.

Example::

    run = open_run("quickstart")
    run.matrix()                                  # a coloured matrix in a notebook
    print(run.leaderboard())                      # the table of `harness leaderboard`
    run.changes("mlm-unlearning/gender")          # items whose decision flipped
    run.to_pandas().query("target == 'religion'")

Numbers come from `harness.analysis` and layout from `harness.render`; the commands show the same
objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.corrections import DEFAULT
from harness.analysis.item_changes import cell_changes
from harness.analysis.leaderboard import Leaderboard
from harness.analysis.long_table import COLUMNS, tidy_rows
from harness.analysis.matrix import Matrix
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.ranking import rank
from harness.analysis.reported import Publication
from harness.errors import DataError, HarnessError
from harness.plugins import Registry, installed_plugins
from harness.render.figures.canvas import Figure
from harness.render.figures.catalogue import RunFigures, figures_of
from harness.replay.sentences import find_sentences
from harness.run_results import RunChanges, RunLeaderboard, RunMatrix, Texts
from harness.running.experiment import RESULTS, default_data
from harness.storage.reader import RunReader
from harness.storage.store import Store, find_run

if TYPE_CHECKING:
    from harness.data.places import DataStore


def open_run(
    path: str | Path,
    *,
    results: str | Path = RESULTS,
    registry: Registry | None = None,
    data: DataStore | None = None,
) -> Run:
    """Open a run to read its results. Loads no model.

    Args:
        path: the run's folder (packed or not), or its name below ``results``.
        results: the folder that holds run folders.
        registry: plugins, to read sentences again; default: all that are installed.
        data: where data sets are looked for; default: the folder that ``HARNESS_DATA`` names, then
            the user cache, then the data set's own address.

    Raises:
        StoreError: there is no such run; says which there are.
    """
    return Run(find_run(str(path), Path(results)), registry=registry, data=data)


class Run:
    """The stored results of a run.

    Attributes:
        store: the files of the run.
    """

    def __init__(
        self, store: Store, *, registry: Registry | None = None, data: DataStore | None = None
    ) -> None:
        """Read the results of a store.

        Args:
            store: the files of the run.
            registry: plugins, to read sentences again; default: all that are installed.
            data: where data sets are looked for.
        """
        self.store = store
        self._registry = registry
        self._data = data
        self._matrices: dict[int | None, Matrix] = {}
        self._boards: dict[int | None, Leaderboard] = {}

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.store.folder

    @property
    def name(self) -> str:
        """The name of the run's spec."""
        return self.reader.index.name

    @cached_property
    def reader(self) -> RunReader:
        """The index and the records of the run, each read once."""
        return RunReader(self.store, self._registry)

    @property
    def cells(self) -> tuple[str, ...]:
        """Titles of the debiased models; parts of one name a cell in `changes` and `items`."""
        return tuple(cell.title() for cell in self.reader.index.cells if not cell.is_base)

    def __repr__(self) -> str:
        """Return the name and the folder of the run."""
        return f"<Run {self.name!r}: {len(self.cells)} debiased models in {self.folder}>"

    def matrix(
        self,
        *,
        metric: str | None = None,
        evaluator: str | None = None,
        protocol: str | None = None,
        step: int | None = None,
        correction: str = DEFAULT,
    ) -> RunMatrix:
        """Compare every debiased model with its base: the transfer matrix.

        Args:
            metric: only this metric; default: the primary ones.
            evaluator: only this evaluator.
            protocol: only this protocol (scorer).
            step: the checkpoint; default: each cell's last.
            correction: of the p-values of each family of tests, such as ``holm``.

        Raises:
            StoreError: nothing is measured, or not what was asked for; says what is.
        """
        if (metric, evaluator, protocol, correction) == (None, None, None, DEFAULT):
            return RunMatrix(self._matrix(step))
        matrix = matrix_of(
            self.reader,
            metric=metric,
            evaluator=evaluator,
            protocol=protocol,
            step=step,
            correction=correction,
        )
        return RunMatrix(matrix)

    def _matrix(self, step: int | None) -> Matrix:
        """The matrix of the primary metrics, made once for each step."""
        if step not in self._matrices:
            self._matrices[step] = matrix_of(self.reader, step=step)
        return self._matrices[step]

    def _board(self, step: int | None) -> Leaderboard:
        """The ranking of this run alone, made once for each step."""
        if step not in self._boards:
            matrices = [self._matrix(step)]
            self._boards[step] = rank([self.reader], step=step, matrices=matrices)
        return self._boards[step]

    def leaderboard(
        self,
        *others: Run,
        step: int | None = None,
        control: str | None = None,
        budget: float | None = None,
        match_at: float | None = None,
        dose_at: float | None = None,
        unit: str | None = None,
        only_comparable: bool = False,
        reported: Sequence[Publication] = (),
    ) -> RunLeaderboard:
        """Rank the methods of this run, and of others, by distance to the ideal.

        Args:
            others: further runs to rank together with this one.
            step: the checkpoint; default: each cell's last.
            control: debiaser, masker or passage label to subtract.
            budget: do not rank methods that cost more, in percent of the base's perplexity.
            match_at: compare at this cost; default: the largest that every curve reaches.
            dose_at: compare at this divergence from the base; default: the largest common one.
            unit: rank by the bias scores in this unit, such as ``nats``; default: the unit that
                the most of them have.
            only_comparable: leave out runs that differ from this one in limits or protocols.
            reported: publications whose numbers are shown below.

        Raises:
            StoreError: a run has no record, not that step, or no run has that control or unit.
        """
        given = [value is not None for value in (control, budget, match_at, dose_at, unit)]
        if not (any(given) or others or reported or only_comparable):
            return RunLeaderboard(self._board(step))
        board = rank(
            [self.reader, *(run.reader for run in others)],
            step=step,
            control=control,
            budget=budget,
            match_at=match_at,
            dose_at=dose_at,
            unit=unit,
            only_comparable=only_comparable,
            reported=reported,
        )
        return RunLeaderboard(board)

    def changes(
        self,
        cell: str,
        *,
        target: str | None = None,
        evaluator: str | None = None,
        protocol: str | None = None,
        metric: str | None = None,
        step: int | None = None,
        sentences: bool = False,
    ) -> RunChanges:
        """Return the items of a cell whose decision flipped, or whose value changed.

        Args:
            cell: parts of the cell's title between slashes, such as ``mlm-unlearning/gender``.
            target: only this target domain.
            evaluator: only this evaluator.
            protocol: only this protocol (scorer).
            metric: items of this metric; default: the decisions of the primary bias scores.
            step: the checkpoint; default: the last.
            sentences: read the sentences of the items again from their data set. Many are
                offensive.

        Raises:
            StoreError: there is no such cell, step or column, or it is not measured.
        """
        compared = cell_changes(
            self.reader,
            cell,
            target=target,
            evaluator=evaluator,
            protocol=protocol,
            metric=metric,
            step=step,
        )
        texts: dict[tuple[str, str], Texts] = {}
        missing: dict[tuple[str, str], str] = {}
        for changes in compared.columns if sentences else ():
            if changes.after.role != "bias" or not changes.changed:
                continue  # windows and whole texts do not fit on a line
            key = (changes.column.evaluator, changes.column.domain)
            if key not in texts and key not in missing:
                try:
                    texts[key] = self.sentences(*key)
                except HarnessError as error:  # the scores are worth showing without them
                    missing[key] = str(error)
        return RunChanges(compared, texts, missing)

    def items(
        self,
        cell: str,
        *,
        target: str | None = None,
        evaluator: str | None = None,
        protocol: str | None = None,
        metric: str | None = None,
        step: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return every item of a cell, changed or not, one dictionary an item.

        Each has the evaluator, protocol, target and metric, the item's id, cluster and stratum,
        its value ``before``, ``after`` and their ``change``, whether its decision ``flipped``
        (None where it decides nothing), and each score behind it, as ``NAME before`` and
        ``NAME after``. Make a data frame of it with ``pandas.DataFrame(run.items(cell))``.

        Args:
            cell: parts of the cell's title between slashes, such as ``mlm-unlearning/gender``.
            target: only this target domain.
            evaluator: only this evaluator.
            protocol: only this protocol (scorer).
            metric: items of this metric; default: the decisions of the primary bias scores.
            step: the checkpoint; default: the last.

        Raises:
            StoreError: there is no such cell, step or column, or it is not measured.
        """
        changes = self.changes(
            cell,
            target=target,
            evaluator=evaluator,
            protocol=protocol,
            metric=metric,
            step=step,
        )
        return changes.rows(unchanged=True)

    def sentences(self, evaluator: str, domain: str) -> Texts:
        """Read the sentences of an evaluator's items again: by item id, then by role.

        Raises:
            HarnessError: the evaluator is not installed, its data is not available, or it lists no
                sentences.
        """
        registry = self._registry if self._registry is not None else installed_plugins()
        data = (self._data or default_data()).knowing(registry.domains)
        return find_sentences(self.reader.index, evaluator, domain, registry, data)

    def rows(self) -> list[dict[str, Any]]:
        """Return every number of the run, all metrics and steps: the rows of ``export csv``."""
        return [row.values() for row in tidy_rows(self.store)]

    def to_pandas(self) -> Any:
        """Return every number of the run as a data frame: the table of ``harness export``.

        Raises:
            DataError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise DataError("to_pandas() needs pandas; pip install pandas") from None
        return pandas.DataFrame(self.rows(), columns=list(COLUMNS))

    @cached_property
    def figures(self) -> RunFigures:
        """The figures of the run. `Figure.matplotlib` draws one, `Figure.files` saves it."""
        return figures_of(self.reader, self._matrix(None))

    def figure(self, name: str) -> Figure:
        """Return a figure by its name.

        Raises:
            DataError: the run has no such figure; says which it has.
        """
        known = {figure.name: figure for figure in self.figures}
        if name not in known:
            raise DataError(f"this run has no figure '{name}' (known: {', '.join(known)})")
        return known[name]
