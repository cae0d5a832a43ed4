"""Reading a spec: from a YAML file and overrides to a checked Spec."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.boundary import guarded
from harness.data.domains import check_domain
from harness.data.files import is_file, is_folder, shown
from harness.data.tabular import check_characters, read_utf8
from harness.errors import DataError, SpecError, did_you_mean
from harness.planning.hypothesis_checks import check_hypotheses
from harness.planning.narrowing import check_narrowing, take_narrowing
from harness.planning.overrides import apply_override
from harness.planning.problems import first_problem, shorten, truth_value_as_number
from harness.planning.spec import (
    LIST_KEYS,
    PLUGIN_KEYS,
    PluginUse,
    Spec,
    masker_of_words,
    measured_domains,
)
from harness.planning.spec_domains import read_domains
from harness.planning.yaml_lines import MAX_BYTES, Lines, parse_yaml
from harness.plugins import Registry
from harness.shipped import shipped_files

MOST_CHARACTERS = 100
"""Longest name of a run, and longest label."""

_NO_FOLDER = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?|.*\.", re.IGNORECASE)
"""Names that folders cannot have on Windows."""

MOST_SEEDS = 2**32
"""Seeds are below this, which all generators take."""


def load_spec(
    path: str | Path, registry: Registry, overrides: Sequence[str] = (), **extra: Any
) -> Spec:
    """Read, override and validate a spec.

    Args:
        path: a YAML file, or the bare name of a spec that ships with the harness.
        registry: the plugins it may name.
        overrides: ``key=value`` strings of ``--set``; see `apply_override`.
        extra: top-level keys set after the overrides, by commands that build on a spec.

    Raises:
        SpecError: any mistake, with file, line and what is allowed.
    """
    file = find_spec(path)
    try:
        text = read_utf8(file, MAX_BYTES)
    except DataError as error:
        raise SpecError(str(error)) from None
    data, lines = parse_yaml(text, str(file))
    if not isinstance(data, dict):
        raise SpecError(f"{file}: a spec is a mapping of keys; see docs/specs.md")
    data.setdefault("name", file.stem)
    for override in overrides:
        apply_override(data, override, lines=lines)
    return build_spec({**data, **extra}, registry, lines, file.parent)


def find_spec(path: str | Path) -> Path:
    """Return the file of a spec: a path, or the bare name of a shipped one.

    Raises:
        SpecError: there is no such file.
    """
    given = Path(path)
    if is_file(given):
        return given
    shipped = shipped_files("specs", "*.yaml")
    if str(path) in shipped:
        return shipped[str(path)]
    if is_folder(given):
        raise SpecError(f"{shown(given)} is a folder; name a spec file")
    raise SpecError(f"{shown(given)}: no such spec file{did_you_mean(given.stem, shipped)}")


def build_spec(
    data: Mapping[str, Any], registry: Registry, lines: Lines, folder: Path | None = None
) -> Spec:
    """Validate raw spec data against the registry; see `load_spec`.

    Args:
        data: the keys of the spec.
        registry: the plugins it may name.
        lines: where each key is, for messages.
        folder: that of the spec file; files of its section ``domains`` are also looked for here.

    Raises:
        SpecError: any mistake, with file and line.
    """
    known = list(Spec.model_fields)
    for key in data:
        if key not in known:
            raise SpecError(f"{lines.where((key,))}: unknown key '{key}'{did_you_mean(key, known)}")
        try:
            check_characters({key: data[key]}, lines.where((key,)))
        except DataError as error:
            raise SpecError(str(error)) from None
    data, narrowed = _without_narrowing(data)
    built: dict[str, Any] = {}
    for key, value in data.items():
        if key in PLUGIN_KEYS:
            built[key] = _plugin_uses(key, value, registry, lines)
        elif key == "domains":
            built[key] = read_domains(value, lines, folder)
        elif key in LIST_KEYS:
            built[key] = tuple(value) if isinstance(value, list) else (value,)
            _refuse_truth_values(key, built[key], lines)
        else:
            built[key] = value
    if "targets" not in built and "source" in built:
        built["targets"] = built["source"]
    try:
        spec = Spec.model_validate(built)
    except ValidationError as error:
        path, message = first_problem(error, Spec)
        raise SpecError(f"{lines.where(path)}: {message}") from None
    if (place := truth_value_as_number(built, spec)) is not None:
        raise SpecError(
            f"{lines.where(place)}: {'.'.join(map(str, place))}: must be a value, not true or false"
        )
    spec = _with_neutral(_narrow(spec, narrowed, lines), registry, lines)
    _check(spec, registry, lines)
    return spec


def _refuse_truth_values(key: str, values: Sequence[Any], lines: Lines) -> None:
    """Refuse true and false, which would count as the numbers 1 and 0."""
    for i, value in enumerate(values):
        if isinstance(value, bool):
            raise SpecError(
                f"{lines.where((key, i))}: {key}: must not be true or false (got {value!r})"
            )


def _without_narrowing(
    data: Mapping[str, Any],
) -> tuple[dict[str, Any], list[dict[str, list[Any]]]]:
    """The data without the narrowed axes of its debiasers, and those by position."""
    value = data.get("debiaser", [])
    entries = [dict(e) if isinstance(e, dict) else e for e in _listed(value)]
    narrowed = [take_narrowing(e) if isinstance(e, dict) else {} for e in entries]
    if not any(narrowed):
        return dict(data), narrowed
    return {**data, "debiaser": entries if isinstance(value, list) else entries[0]}, narrowed


def _narrow(spec: Spec, narrowed: list[dict[str, list[Any]]], lines: Lines) -> Spec:
    if not any(narrowed):
        return spec
    axes = spec.axes()
    uses = []
    for i, (use, axes_of_use) in enumerate(zip(spec.debiaser, narrowed, strict=True)):
        only = check_narrowing(axes_of_use, axes, ("debiaser", i), lines) if axes_of_use else None
        uses.append(use.model_copy(update={"only": only}))
    return spec.model_copy(update={"debiaser": tuple(uses)})


def _with_neutral(spec: Spec, registry: Registry, lines: Lines) -> Spec:
    """The spec with plain text as its neutral text, where a debiaser needs one and none is named.

    Which corpus that is, its plugin says (`Corpus.plain`); of several, the first by name.
    """
    methods = [registry.get("debiaser", use.use).plugin for use in spec.debiaser]
    evaluators = [registry.get("evaluator", use.use).plugin for use in spec.evaluators]
    needed = (
        spec.stop_at is not None
        or any("neutral" in method.inputs for method in methods)
        or any(evaluator.reads_neutral for evaluator in evaluators)
    )
    if spec.neutral or not needed:
        return spec
    corpora = [registry.get("corpus", name) for name in registry.names("corpus")]
    plain = [entry.name for entry in corpora if entry.plugin.plain]
    if not plain:
        return spec
    uses = _plugin_uses("neutral", plain[0], registry, lines)
    return spec.model_copy(update={"neutral": uses})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plugin_uses(key: str, value: Any, registry: Registry, lines: Lines) -> tuple[PluginUse, ...]:
    many = isinstance(value, list)
    entries = value if many else [value]
    uses = []
    for i, entry in enumerate(entries):
        path = (key, i) if many else (key,)
        uses.append(plugin_use(key, entry, path, registry, lines))
    labels: dict[str, str] = {}
    for i, use in enumerate(uses):
        other = labels.setdefault(_as_seen(use.label), use.label)
        if other != use.label or other in [earlier.label for earlier in uses[:i]]:
            both = "" if other == use.label else f" and '{other}', which look alike"
            raise SpecError(
                f"{lines.where((key, i))}: two entries of '{key}' are called '{use.label}'{both}; "
                "give each a label of its own with `as: LABEL`"
            )
    return tuple(uses)


def _as_seen(label: str) -> str:
    """A label as a reader tells it from others: whatever its letter case and Unicode form."""
    return unicodedata.normalize("NFKC", label).casefold()


def plugin_use(
    key: str, entry: Any, path: tuple[str | int, ...], registry: Registry, lines: Lines
) -> PluginUse:
    """Validate one entry of a spec that names a plugin.

    Args:
        key: the spec's key, such as ``masker``.
        entry: a plugin's name, or a mapping with ``use``, maybe ``as``, and its config.
        path: where the entry is in the spec.
        registry: the plugins it may name.
        lines: where each key is, for messages.

    Raises:
        SpecError: it cannot be used.
    """
    family = PLUGIN_KEYS[key]
    if isinstance(entry, str):
        entry = {"use": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("use"), str):
        raise SpecError(
            f"{lines.where(path)}: {key}: give a {family}'s name, or a mapping with 'use: NAME'"
        )
    config = {name: value for name, value in entry.items() if name not in ("use", "as")}
    domains = config.pop("domains", None) if key == "evaluators" else None
    name = entry["use"]
    if name not in registry.names(family):
        lost = "".join(f"; {failure}" for failure in registry.failures)
        raise SpecError(
            f"{lines.where((*path, 'use'))}: unknown {family} '{name}'"
            f"{did_you_mean(name, registry.names(family))}{lost}"
        )
    plugin = registry.get(family, name).plugin
    with guarded(registry.get(family, name), "Config"):
        try:
            validated = plugin.Config.model_validate(config)
        except ValidationError as error:
            inner, message = first_problem(error, plugin.Config)
            where = lines.where((*path, *inner))
            raise SpecError(f"{where}: {family} '{name}': {message}") from None
    if (place := truth_value_as_number(config, validated)) is not None:
        raise SpecError(
            f"{lines.where((*path, *place))}: {family} '{name}': {'.'.join(map(str, place))}: must "
            "be a value, not true or false"
        )
    return PluginUse(
        use=name,
        label=_label(entry.get("as", name), path, lines),
        config=validated.model_dump(mode="json"),
        domains=None if domains is None else _names(domains, (*path, "domains"), lines),
    )


def _label(value: Any, path: tuple[str | int, ...], lines: Lines) -> str:
    """Check a label; cells are named by labels with slashes between them."""
    label = str(value).strip() if isinstance(value, (str, int, float)) else ""
    wrong = isinstance(value, bool) or not label.strip() or len(label) > MOST_CHARACTERS
    if wrong or "/" in label or not label.isprintable():
        raise SpecError(
            f"{lines.where((*path, 'as'))}: as: must be a name of one line, without '/' "
            f"(got {shorten(value)})"
        )
    return label


def _names(value: Any, path: tuple[str | int, ...], lines: Lines) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise SpecError(
            f"{lines.where(path)}: domains: give one or more names (got {shorten(value)})"
        )
    _refuse_repeated(names, path, lines)
    return tuple(names)


def _refuse_repeated(
    values: Sequence[str | int], path: tuple[str | int, ...], lines: Lines
) -> None:
    """Refuse a value that is given twice: it would count twice, or hide a slip."""
    for i, value in enumerate(values):
        if value in values[:i]:
            raise SpecError(f"{lines.where((*path, i))}: {path[-1]}: {value!r} is given twice")


def _check(spec: Spec, registry: Registry, lines: Lines) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", spec.name) or (
        len(spec.name) > MOST_CHARACTERS
    ):
        raise SpecError(
            f"{lines.where(('name',))}: name {shorten(spec.name)} names a folder: letters, "
            f"digits, '.', '_' and '-' only, at most {MOST_CHARACTERS}"
        )
    if _NO_FOLDER.fullmatch(spec.name):
        raise SpecError(
            f"{lines.where(('name',))}: name {shorten(spec.name)} names a folder, and Windows can "
            "have none of that name; choose another"
        )
    for key in ("model", "evaluators", "targets", "label", "seed"):
        if not getattr(spec, key):
            raise SpecError(f"{lines.where((key,))}: {key}: give one or more entries")
    for key in LIST_KEYS:
        if key not in PLUGIN_KEYS and key != "steps":
            _refuse_repeated(getattr(spec, key), (key,), lines)
    for i, seed in enumerate(spec.seed):
        if not 0 <= seed < MOST_SEEDS:
            raise SpecError(
                f"{lines.where(('seed', i))}: seed: must be between 0 and {MOST_SEEDS - 1} "
                f"(got {seed})"
            )
    if not spec.steps or list(spec.steps) != sorted(set(spec.steps)) or spec.steps[0] < 1:
        raise SpecError(f"{lines.where(('steps',))}: steps must ascend and start at 1 or more")
    known = registry.domains | spec.domains
    spelled = {name.casefold(): name for name in registry.domains}
    for domain in spec.domains:
        other = spelled.setdefault(domain.name.casefold(), domain.name)
        if other != domain.name:
            raise SpecError(
                f"{lines.where(('domains', domain.name))}: domain '{domain.name}' differs from "
                f"'{other}' in letter case alone; choose another name"
            )
    for key in ("source", "targets"):
        for i, domain in enumerate(getattr(spec, key)):
            _at(lines, (key, i), domain, known)
    if spec.debiaser:
        _check_debiasing(spec, registry, lines)
    check_hypotheses(spec, registry, lines)
    if spec.stop_at is not None and not spec.neutral:
        raise SpecError(
            f"{lines.where(('stop_at',))}: the dose is measured on neutral text: give a 'neutral'"
        )
    for i, use in enumerate(spec.evaluators):
        _check_evaluator(spec, use, registry, lines, ("evaluators", i))


def _check_debiasing(spec: Spec, registry: Registry, lines: Lines) -> None:
    inputs: set[str] = set()
    for use in spec.debiaser:
        inputs |= registry.get("debiaser", use.use).plugin.inputs
    needed = {
        "corpus": {"masks", "passages", "domain"},
        "source": {"masks", "passages", "domain"},
        "masker": {"masks"},
        "neutral": {"neutral"},
    }
    for key, reasons in needed.items():
        if inputs & reasons and not getattr(spec, key):
            raise SpecError(f"{lines.where(('debiaser',))}: the debiasers here need a '{key}'")
    for i, use in enumerate(spec.corpus):
        corpus = registry.get("corpus", use.use).plugin
        for source in spec.source:
            if corpus.domains and source not in corpus.domains:
                raise SpecError(
                    f"{lines.where(('corpus', i))}: corpus '{use.use}' has no passages of "
                    f"'{source}' (it has: {', '.join(sorted(corpus.domains))})"
                )


def _check_evaluator(
    spec: Spec, use: PluginUse, registry: Registry, lines: Lines, path: tuple[str | int, ...]
) -> None:
    evaluator = registry.get("evaluator", use.use).plugin
    for domain in use.domains or ():
        known = sorted(evaluator.domains) or registry.domains | spec.domains
        _at(lines, (*path, "domains"), domain, known)
    if evaluator.reads_neutral and not spec.neutral:
        raise SpecError(
            f"{lines.where(path)}: evaluator '{use.use}' reads neutral text: give a 'neutral'"
        )
    unseen = spec.limits.unseen
    if evaluator.reads_neutral and unseen is not None:
        needed = registry.create("evaluator", use.use, use.config).least_neutral()
        read = max(unseen, spec.stop_at.windows if spec.stop_at is not None else 0)
        if read < needed:
            raise SpecError(
                f"{lines.where(path)}: evaluator '{use.use}' needs {needed} held-out neutral texts "
                f"and limits.unseen gives {read}; raise limits.unseen"
            )
    if evaluator.reads_masks and not (spec.corpus and masker_of_words(spec, registry)):
        raise SpecError(
            f"{lines.where(path)}: evaluator '{use.use}' reads masked texts: it needs a 'corpus' "
            "and a 'masker' that is not a control"
        )
    if evaluator.reads_source and not (spec.corpus and spec.source and spec.debiaser):
        raise SpecError(
            f"{lines.where(path)}: evaluator '{use.use}' reads the source texts: it needs a "
            "'corpus', a 'source' and a 'debiaser'"
        )
    if evaluator.domains and not measured_domains(spec, use, registry):
        raise SpecError(
            f"{lines.where(path)}: evaluator '{use.use}' has no item for any target "
            f"({', '.join(spec.targets)}); it has: {', '.join(sorted(evaluator.domains))}"
        )


def _at(lines: Lines, path: tuple[str | int, ...], domain: str, known: Iterable[str]) -> None:
    try:
        check_domain(domain, known)
    except SpecError as error:
        raise SpecError(f"{lines.where(path)}: {error}") from None
