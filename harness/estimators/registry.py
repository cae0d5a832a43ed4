"""Finding estimators by name: the built-in ones, and those that plugins add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from harness.errors import PluginError, did_you_mean
from harness.estimators.built_in import BUILT_IN
from harness.estimators.contract import Estimator

_KNOWN: dict[str, Estimator] = {estimator.name: estimator for estimator in BUILT_IN}


def known_estimators() -> Mapping[str, Estimator]:
    """Return every estimator of this process by name: built-in ones, and those of plugins."""
    return MappingProxyType(_KNOWN)


def install(estimators: Iterable[Estimator]) -> None:
    """Make estimators known by name in this process; the loader calls it for plugins.

    Raises:
        PluginError: an estimator of another class has that name.
    """
    for estimator in estimators:
        installed = _KNOWN.setdefault(estimator.name, estimator)
        if _class_of(installed) != _class_of(estimator):
            raise PluginError(
                f"two estimators are called '{estimator.name}': "
                f"{_class_of(installed)} and {_class_of(estimator)}; rename one"
            )


def find_estimator(name: str) -> Estimator:
    """Return an estimator by name.

    Raises:
        PluginError: there is none; says which names are near.
    """
    try:
        return _KNOWN[name]
    except KeyError:
        hint = did_you_mean(name, _KNOWN)
        raise PluginError(
            f"unknown estimator '{name}'{hint}; the plugin that adds it is not installed"
        ) from None


def _class_of(estimator: Estimator) -> str:
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"
