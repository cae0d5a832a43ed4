"""Samples of a data set's categories, each of which must have items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from harness.data.sampling import nested_sample
from harness.errors import DataError
from harness.families import Evaluator
from harness.types import ItemsRequest

T = TypeVar("T")


def sampled(
    evaluator: Evaluator[Any],
    by_domain: Mapping[str, Sequence[T]],
    request: ItemsRequest,
    identity: Callable[[T], str],
) -> dict[str, list[T]]:
    """Draw the items of each domain, as the request's limit and seed say.

    Args:
        evaluator: whose items they are; errors name it.
        by_domain: all items.
        request: the limit and the seed.
        identity: what an item is drawn by.

    Raises:
        DataError: a domain has no item.
    """
    require_items(evaluator, by_domain)
    return {
        domain: nested_sample(items, request.limit, request.seed, identity)
        for domain, items in by_domain.items()
    }


def require_items(
    evaluator: Evaluator[Any], by_domain: Mapping[str, Sequence[object]], what: str = "item"
) -> None:
    """Raise a `DataError` that names the first domain without items, if there is one."""
    for domain, items in by_domain.items():
        if not items:
            path = getattr(evaluator.config, "path", None)
            where = "" if path is None else f" in {path}"
            known = ", ".join(sorted(evaluator.domains))
            hint = f" (it has: {known})" if known and domain not in evaluator.domains else ""
            raise DataError(
                f"evaluator '{evaluator.name}' has no {what} for '{domain}'{where}{hint}"
            )
