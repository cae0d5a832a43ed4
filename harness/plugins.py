"""Finding, guarding and describing plugins.

One plugin that fails to import costs one clear line, never the program; ``--strict-plugins``
makes it fatal. Name clashes are errors, not renames. ``HARNESS_PLUGINS=a,b`` loads only the
entry points of those names (an empty value: none).
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Generic, Literal, get_args, overload

import pluggy
from typing_extensions import TypeVar

import harness
from harness import hookspecs
from harness.data.domains import NO_DOMAIN, OVERALL, Domain, Domains
from harness.errors import PluginError, did_you_mean
from harness.estimators import Estimator, install
from harness.families import (
    FAMILIES,
    Corpus,
    Debiaser,
    Evaluator,
    Family,
    Masker,
    Model,
    Plugin,
    PluginConfig,
)
from harness.types import ControlKind

if TYPE_CHECKING:
    import click

GROUP = "harness"

P_co = TypeVar("P_co", bound=Plugin[Any], covariant=True, default=Plugin[Any])

Config = Mapping[str, Any]
"""Fields of a plugin's config, not validated yet."""

RESERVED = ("use", "as")
"""Keys of a plugin's entry in a spec that are not its config's."""

HOOKS: Mapping[Family, str] = {
    "corpus": "harness_corpora",
    "masker": "harness_maskers",
    "debiaser": "harness_debiasers",
    "evaluator": "harness_evaluators",
    "model": "harness_models",
}


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from."""

    entry_point: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"entry point '{self.entry_point}' of {self.distribution} {self.version}"


@dataclass(frozen=True)
class Registered(Generic[P_co]):
    """A plugin class and its origin."""

    plugin: type[P_co]
    origin: Origin

    @property
    def family(self) -> Family:
        """The family it belongs to."""
        return self.plugin.family

    @property
    def name(self) -> str:
        """The name that specs use."""
        return self.plugin.name

    def describe(self) -> str:
        """Name the plugin and its origin, for error messages."""
        return f"{self.family} '{self.name}' ({self.origin})"


@dataclass(frozen=True)
class LoadFailure:
    """A plugin that could not be used, and why, in one line."""

    origin: Origin
    reason: str

    def __str__(self) -> str:
        return f"plugin not loaded: {self.origin}: {self.reason}"


class Registry:
    """The plugins of one process: immutable once loaded.

    Attributes:
        failures: plugins that could not be used, and why.
        domains: every domain that a plugin describes, then those that a plugin only names.
    """

    def __init__(
        self,
        registered: Iterable[Registered],
        failures: Iterable[LoadFailure] = (),
        domains: Iterable[Domain] = (),
    ) -> None:
        self._plugins = {(entry.family, entry.name): entry for entry in registered}
        self.failures = tuple(failures)
        self.domains = _with_named(Domains(domains), self._plugins.values())

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._plugins.values())

    def names(self, family: Family) -> list[str]:
        """Sorted names of a family."""
        return sorted(name for kind, name in self._plugins if kind == family)

    @overload
    def get(self, family: Literal["corpus"], name: str) -> Registered[Corpus[Any]]: ...
    @overload
    def get(self, family: Literal["masker"], name: str) -> Registered[Masker[Any]]: ...
    @overload
    def get(self, family: Literal["debiaser"], name: str) -> Registered[Debiaser[Any]]: ...
    @overload
    def get(self, family: Literal["evaluator"], name: str) -> Registered[Evaluator[Any]]: ...
    @overload
    def get(self, family: Literal["model"], name: str) -> Registered[Model[Any]]: ...
    @overload
    def get(self, family: Family, name: str) -> Registered: ...

    def get(self, family: Family, name: str) -> Any:
        """Return a plugin class with its origin, typed by its family.

        Raises:
            PluginError: there is none; says which names are near.
        """
        try:
            return self._plugins[family, name]
        except KeyError:
            hint = did_you_mean(name, self.names(family))
            lost = "".join(f"; {failure}" for failure in self.failures)
            raise PluginError(f"unknown {family} '{name}'{hint}{lost}") from None

    def find(self, name: str) -> list[Registered]:
        """Every plugin of that name, of any family."""
        return [entry for (_, plugin), entry in self._plugins.items() if plugin == name]

    @overload
    def create(self, family: Literal["corpus"], name: str, config: Config) -> Corpus[Any]: ...
    @overload
    def create(self, family: Literal["masker"], name: str, config: Config) -> Masker[Any]: ...
    @overload
    def create(self, family: Literal["debiaser"], name: str, config: Config) -> Debiaser[Any]: ...
    @overload
    def create(self, family: Literal["evaluator"], name: str, config: Config) -> Evaluator[Any]: ...
    @overload
    def create(self, family: Literal["model"], name: str, config: Config) -> Model[Any]: ...
    @overload
    def create(self, family: Family, name: str, config: Config) -> Plugin[Any]: ...

    def create(self, family: Family, name: str, config: Config) -> Any:
        """Construct a plugin with its validated config, typed by its family.

        Raises:
            PluginError: unknown plugin.
            pydantic.ValidationError: the config does not fit.
        """
        entry = self.get(family, name)
        return entry.plugin(entry.plugin.Config.model_validate(dict(config)))


def load_registry(*, strict: bool = False, only: Sequence[str] | None = None) -> Registry:
    """Load every plugin of the entry-point group ``harness``.

    Args:
        strict: a plugin that cannot be used is an error instead of a `LoadFailure`.
        only: names of entry points to load; default: ``HARNESS_PLUGINS``, else all.

    Raises:
        PluginError: two plugins claim one name; or, if strict, a plugin cannot be used.
    """
    modules, failures = _import_all(_listed() if only is None else only)
    return build_registry(modules, failures=failures, strict=strict)


def installed_plugins() -> Registry:
    """Return `load_registry` of this process, loaded once: for readers of stored runs."""
    return _installed(os.environ.get("HARNESS_PLUGINS"))


@cache
def _installed(_listed: str | None) -> Registry:
    return load_registry()


def build_registry(
    modules: Iterable[tuple[Any, Origin]],
    *,
    failures: Iterable[LoadFailure] = (),
    strict: bool = False,
) -> Registry:
    """Ask each module's hooks for its plugins and check them; see `load_registry`."""
    lost = list(failures)
    registered: dict[tuple[Family, str], Registered] = {}
    described: dict[str, tuple[Domain, Origin]] = {}
    for module, origin in modules:
        try:
            offered = _collect(module, origin)
            domains = _collect_domains(module, origin)
            estimators = _collect_estimators(module, origin)
        except Exception as error:  # third-party code may raise anything
            lost.append(LoadFailure(origin, _reason(error)))
            continue
        if estimators:
            install(estimators)
        for entry in offered:
            key = (entry.family, entry.name)
            if key in registered:
                raise PluginError(
                    f"two plugins claim the {entry.family} '{entry.name}': "
                    f"{registered[key].origin} and {origin}; uninstall one, or name the entry "
                    "points to load in HARNESS_PLUGINS"
                )
            registered[key] = entry
        for domain in domains:
            known, owner = described.setdefault(domain.name, (domain, origin))
            if known != domain:
                raise PluginError(
                    f"two plugins describe the domain '{domain.name}' differently: {owner} and "
                    f"{origin}; uninstall one, or name the entry points to load in HARNESS_PLUGINS"
                )
    if strict and lost:
        raise PluginError("; ".join(str(failure) for failure in lost))
    return Registry(registered.values(), lost, (domain for domain, _ in described.values()))


def load_commands(*, reserved: Iterable[str] = ()) -> tuple[list[click.Command], list[LoadFailure]]:
    """Click commands that plugins add through ``harness_commands``.

    Args:
        reserved: names of the harness's own commands.

    Raises:
        PluginError: a command has the name of another plugin's or of the harness's own.
    """
    modules, failures = _import_all(_listed())
    return build_commands(modules, failures=failures, reserved=reserved)


def build_commands(
    modules: Iterable[tuple[Any, Origin]],
    *,
    failures: Iterable[LoadFailure] = (),
    reserved: Iterable[str] = (),
) -> tuple[list[click.Command], list[LoadFailure]]:
    """Ask each module's hook for its commands and check them; see `load_commands`."""
    lost = list(failures)
    commands: dict[str, click.Command] = {}
    owners = dict.fromkeys(reserved, "the harness itself")
    for module, origin in modules:
        try:
            offered = _collect_commands(module, origin)
        except Exception as error:  # third-party code may raise anything
            lost.append(LoadFailure(origin, _reason(error)))
            continue
        for name, command in offered:
            if name in owners:
                raise PluginError(
                    f"two claim the command '{name}': {owners[name]} and {origin}; uninstall "
                    "one, or name the entry points to load in HARNESS_PLUGINS"
                )
            owners[name] = str(origin)
            commands[name] = command
    return list(commands.values()), lost


def _collect_commands(module: Any, origin: Origin) -> list[tuple[str, click.Command]]:
    import click

    offered: list[tuple[str, click.Command]] = []
    for command in _offered(_manager(module, origin), "harness_commands", "click commands"):
        if not isinstance(command, click.Command) or not command.name:
            raise PluginError(
                f"hook harness_commands returned {command!r}, which is not a click command "
                "with a name"
            )
        offered.append((command.name, command))
    return offered


def _listed() -> list[str] | None:
    """The entry points that ``HARNESS_PLUGINS`` names; None: all."""
    listed = os.environ.get("HARNESS_PLUGINS")
    if listed is None:
        return None
    return [name.strip() for name in listed.split(",") if name.strip()]


def _import_all(only: Sequence[str] | None) -> tuple[list[tuple[Any, Origin]], list[LoadFailure]]:
    modules: list[tuple[Any, Origin]] = []
    failures: list[LoadFailure] = []
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    if only is not None and (unknown := set(only) - {point.name for point in points}):
        names = [point.name for point in points]
        first = sorted(unknown)[0]
        raise PluginError(
            f"HARNESS_PLUGINS names no entry point '{first}'{did_you_mean(first, names)}"
        )
    for point in points:
        if only is not None and point.name not in only:
            continue
        origin = _origin(point)
        try:
            modules.append((point.load(), origin))
        except (Exception, SystemExit) as error:  # third-party code may do anything
            failures.append(LoadFailure(origin, _reason(error)))
    return modules, failures


def _origin(point: EntryPoint) -> Origin:
    if point.dist is None:
        return Origin(point.name, "unknown distribution", "?")
    return Origin(point.name, point.dist.name, point.dist.version)


def _reason(error: BaseException) -> str:
    # pluggy and pydantic say what is wrong after their first line.
    line = shorten(str(error), 300, placeholder=" …") or "no message"
    if isinstance(error, ImportError):
        line += _moved(error)
    return line if isinstance(error, PluginError) else f"{type(error).__name__}: {line}"


def _moved(error: ImportError) -> str:
    """Say where a name or module of the harness is now; empty where nothing is known of it."""
    module = error.name or ""
    if module.partition(".")[0] != harness.__name__:
        return ""
    missing = re.search(r"cannot import name '(\w+)'", str(error))
    if missing is not None and missing[1] in harness.__all__:
        return f"; write 'from harness import {missing[1]}'"
    root = Path(harness.__file__).parent
    name = missing[1] if missing is not None else module.rpartition(".")[2]
    for path in sorted(root.rglob(f"{name}.py")):
        now = ".".join((harness.__name__, *path.relative_to(root).with_suffix("").parts))
        return f"; it is {now} now, and what plugins need of it is in 'harness' (harness.__all__)"
    return "; what plugins need is in 'harness' (harness.__all__)"


def _manager(module: Any, origin: Origin) -> pluggy.PluginManager:
    """A manager for one module, so that a failing hook is known to be that module's."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    name = manager.register(module, name=origin.entry_point)
    assert name is not None
    manager.check_pending()
    if not manager.get_hookcallers(module):
        raise PluginError(
            "implements no harness_* hook; decorate one with harness.hookspecs.hookimpl"
        )
    return manager


def _offered(manager: pluggy.PluginManager, hook: str, what: str) -> Iterator[Any]:
    """Yield what a hook returns, one object after another; they are not checked yet."""
    for answer in getattr(manager.hook, hook)():
        if isinstance(answer, str) or not isinstance(answer, Sequence):
            raise PluginError(
                f"hook {hook} must return a list of {what}, not {type(answer).__name__}"
            )
        yield from answer


def _collect(module: Any, origin: Origin) -> list[Registered]:
    manager = _manager(module, origin)
    entries: list[Registered] = []
    for family, hook in HOOKS.items():
        for plugin in _offered(manager, hook, "classes"):
            _check_class(plugin, family, hook)
            entries.append(Registered(plugin, origin))
    return entries


def _collect_domains(module: Any, origin: Origin) -> list[Domain]:
    domains: list[Domain] = []
    for domain in _offered(_manager(module, origin), "harness_domains", "Domain"):
        if not isinstance(domain, Domain):
            raise PluginError(f"hook harness_domains returned {domain!r}, not a Domain")
        domains.append(domain)
    return domains


def _with_named(domains: Domains, registered: Iterable[Registered]) -> Domains:
    """The described domains, and one without lists for each further name that a plugin uses."""
    names: set[str] = set()
    for entry in registered:
        names |= set(getattr(entry.plugin, "domains", ())) - {NO_DOMAIN, OVERALL}
    return domains | [Domain(name=name) for name in sorted(names - set(domains))]


def _collect_estimators(module: Any, origin: Origin) -> list[Estimator]:
    estimators: list[Estimator] = []
    for estimator in _offered(_manager(module, origin), "harness_estimators", "estimators"):
        _check_estimator(estimator)
        estimators.append(estimator)
    return estimators


def _check_estimator(estimator: Any) -> None:
    if inspect.isclass(estimator) and issubclass(estimator, Estimator):
        raise PluginError(
            f"hook harness_estimators returned the class {estimator.__name__}; return an object: "
            f"{estimator.__name__}()"
        )
    if not isinstance(estimator, Estimator):
        raise PluginError(
            f"hook harness_estimators returned {estimator!r}, which is not an Estimator"
        )
    for attribute in ("name", "summary"):
        value = getattr(estimator, attribute, None)
        if not isinstance(value, str) or not value.strip():
            raise PluginError(
                f"hook harness_estimators: {type(estimator).__name__}.{attribute} must be a "
                "non-empty string"
            )


def _check_class(plugin: Any, family: Family, hook: str) -> None:
    base = FAMILIES[family]
    if not (inspect.isclass(plugin) and issubclass(plugin, base)):
        raise PluginError(f"hook {hook} returned {plugin!r}, which is not a {base.__name__} class")
    if missing := sorted(getattr(plugin, "__abstractmethods__", ())):
        raise PluginError(f"hook {hook}: {plugin.__name__} does not define {', '.join(missing)}()")
    for attribute in ("name", "summary", "reference"):
        value = getattr(plugin, attribute, None)
        if not isinstance(value, str) or not value.strip():
            raise PluginError(
                f"hook {hook}: {plugin.__name__}.{attribute} must be a non-empty string"
            )
    _check_control(plugin, hook)
    if not (inspect.isclass(plugin.Config) and issubclass(plugin.Config, PluginConfig)):
        raise PluginError(f"hook {hook}: {plugin.__name__}.Config must be a PluginConfig class")
    for field_name, info in plugin.Config.model_fields.items():
        if field_name in RESERVED or (family == "evaluator" and field_name == "domains"):
            raise PluginError(
                f"{plugin.__name__}.Config.{field_name}: the name is taken by the spec's own "
                "keys; choose another"
            )
        if not info.description:
            raise PluginError(
                f"hook {hook}: {plugin.__name__}.Config.{field_name} has no description; "
                "it is the documentation of the parameter"
            )


def _check_control(plugin: Any, hook: str) -> None:
    """Refuse the flags that `ControlKind` replaced: a boolean ``control``, and ``sham``."""
    kinds = get_args(ControlKind)
    control = getattr(plugin, "control", None)
    if hasattr(plugin, "sham"):
        raise PluginError(
            f"hook {hook}: {plugin.__name__}.sham is no longer read; "
            'write control = "change" instead of sham = True'
        )
    if control is not None and control not in kinds:
        raise PluginError(
            f"hook {hook}: {plugin.__name__}.control must be None or one of {', '.join(kinds)}, "
            f"not {control!r}"
        )
