"""The sentences behind item ids.

Texts are not stored with a run, because the data sets belong to others. The evaluator lists them
again from its data, without a model.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from harness.boundary import list_items
from harness.data.places import DataStore
from harness.errors import StoreError
from harness.planning.spec import Limits, stored_limits
from harness.plugins import Registry
from harness.storage.declarations import Declarations
from harness.storage.records import RunIndex
from harness.types import ItemsRequest

Sentences = Mapping[str, Mapping[str, str]]
"""Texts of items: by item id, then by role."""


def find_sentences(
    index: RunIndex, evaluator: str, domain: str, registry: Registry, data: DataStore
) -> Sentences:
    """Return the texts of an evaluator's items in a domain, as the run sampled them.

    Raises:
        HarnessError: the evaluator is not installed, its data is not there, or it lists no texts;
            one line that says which.
    """
    entry, plugin = Declarations(index, registry).evaluator(evaluator)
    try:
        limits = Limits.model_validate(stored_limits(index.spec.get("limits")))
    except ValidationError as error:
        raise StoreError(
            f"the limits of run '{index.name}' cannot be read by this version: "
            f"{error.errors()[0]['msg']}"
        ) from None
    request = ItemsRequest(domains=(domain,), limit=limits.items, seed=limits.item_seed, data=data)
    sentences = {item.id: item.texts for item in list_items(entry, plugin, request)}
    if not sentences:
        raise StoreError(f"evaluator '{evaluator}' lists no sentences of its items")
    return sentences
