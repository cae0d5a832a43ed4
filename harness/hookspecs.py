"""The whole plugin contract: a hook for each family, one for estimators, one for commands.

A plugin is a module (or object) registered under the entry-point group ``harness`` that
implements any of these with `hookimpl`. Each hook is called once, when plugins are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from harness.data.domains import Domain
    from harness.estimators import Estimator
    from harness.families import Corpus, Debiaser, Evaluator, Masker, Model

PROJECT = "harness"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# Specifications have no body: plugins answer (empty-body below).


@hookspec
def harness_corpora() -> Sequence[type[Corpus[Any]]]:  # type: ignore[empty-body]
    """Return the corpora that the plugin offers."""


@hookspec
def harness_maskers() -> Sequence[type[Masker[Any]]]:  # type: ignore[empty-body]
    """Return the maskers that the plugin offers."""


@hookspec
def harness_debiasers() -> Sequence[type[Debiaser[Any]]]:  # type: ignore[empty-body]
    """Return the debiasers that the plugin offers."""


@hookspec
def harness_evaluators() -> Sequence[type[Evaluator[Any]]]:  # type: ignore[empty-body]
    """Return the evaluators that the plugin offers."""


@hookspec
def harness_models() -> Sequence[type[Model[Any]]]:  # type: ignore[empty-body]
    """Return the models that the plugin offers."""


@hookspec
def harness_domains() -> Sequence[Domain]:  # type: ignore[empty-body]
    """Return the domains that the plugin describes, with their term lists."""


@hookspec
def harness_estimators() -> Sequence[Estimator]:  # type: ignore[empty-body]
    """Return the estimators that the plugin adds: objects, not classes."""


@hookspec
def harness_commands() -> Sequence[click.Command]:  # type: ignore[empty-body]
    """Return click commands to add to ``harness``. Called only for a plugin's own commands."""
