"""The texts of the passages that a run's fits learned from, with the masks that it stored.

Texts are not stored with a run, because the data sets belong to others. The corpus gives them
again, and the stored hash of each text says whether it is the same one.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.data.places import DataStore
from harness.errors import HarnessError, StoreError
from harness.plugins import Registry
from harness.replay.rerun import stored_spec
from harness.running.experiment import Experiment
from harness.storage.reader import RunReader
from harness.types import Label, MaskedPassage


def find_masked_texts(
    reader: RunReader, registry: Registry, data: DataStore, tell: Callable[[str], None]
) -> dict[str, tuple[MaskedPassage, ...]]:
    """Return the masked passages of a run with their texts, by the hash of the stored masks.

    Args:
        reader: of the run.
        registry: the plugins.
        data: where the corpora are looked for.
        tell: called with one line for each reason why texts are not found.
    """
    try:
        spec = stored_spec(reader.store, reader.index)
    except StoreError as error:
        tell(f"no passages of the fits: {error}")
        return {}
    texts = Experiment(spec, registry=registry, data=data).texts
    corpora = {use.label: use for use in spec.corpus}
    labels: dict[str, Label] = {label: label for label in spec.label}
    masked: dict[str, tuple[MaskedPassage, ...]] = {}
    reasons: set[str] = set()
    for cell in reader.index.cells:
        sha256 = None if cell.masker is None else reader.masks(cell)
        corpus, label = corpora.get(cell.corpus or ""), labels.get(cell.label or "")
        if sha256 is None or sha256 in masked:
            continue
        if corpus is None or label is None or cell.source is None:
            continue
        try:
            if (stored := reader.store.masks(sha256)) is not None:
                source = texts.source(corpus, cell.source, label, cell.seed or 0)
                masked[sha256] = stored.apply(texts.unlearned(source))
        except HarnessError as error:
            if str(error) not in reasons:
                reasons.add(str(error))
                tell(f"no passages of {cell.title()}: {error}")
    return masked
