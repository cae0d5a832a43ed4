"""Masking passages outside a run, to judge a mask rule before a run is paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.boundary import guarded, load_model, mask_passages, read_passages
from harness.data.domains import check_domain
from harness.data.places import DataStore
from harness.errors import DataError, ModelError, SpecError, did_you_mean
from harness.families import Corpus, Masker
from harness.planning.overrides import apply_override
from harness.planning.spec import PLUGIN_KEYS, PluginUse, Spec, known_data
from harness.planning.spec_reader import load_spec, plugin_use
from harness.planning.yaml_lines import Lines
from harness.plugins import Registry
from harness.types import (
    Label,
    LoadRequest,
    MaskedPassage,
    MaskEstimate,
    MaskRequest,
    MaskUsage,
    Passage,
    PassageRequest,
    Progress,
    Split,
)

if TYPE_CHECKING:
    from harness.lm.association import Gaps


class Watch(NamedTuple):
    """Callbacks about the work of a masker, each called with its label.

    Attributes:
        confirm: called before a service is used; raises to prevent that.
        account: called when a service has been used, also if the masker then fails.
        progress: called as the work advances.
    """

    confirm: Callable[[str, MaskEstimate], None]
    account: Callable[[str, MaskUsage], None]
    progress: Progress


class Asked(NamedTuple):
    """What a person names: a plugin or a label of the spec, and settings of its config.

    Attributes:
        name: the plugin's name or the label; None: the default.
        settings: ``KEY=VALUE`` pairs.
        option: the command's option that gives them, for messages.
        label: what to call it in tables; default: the name.
    """

    name: str | None
    settings: Sequence[str] = ()
    option: str = "--set"
    label: str | None = None


class Preview:
    """The corpus, domain and data of a preview.

    Args:
        registry: the plugins.
        data: places of data.
        spec: a spec to take defaults and labels from: its path, or the name of a shipped one.

    Raises:
        SpecError: the spec cannot be used.
    """

    def __init__(self, registry: Registry, data: DataStore, spec: str | None = None) -> None:
        self._registry = registry
        self._path = spec
        self._spec: Spec | None = None if spec is None else load_spec(spec, registry)
        self.data = data if self._spec is None else known_data(self._spec, registry, data)

    def domain(self, name: str | None) -> str:
        """Return the domain named, else the spec's first source, else gender.

        Raises:
            SpecError: it is not known.
        """
        sources = () if self._spec is None else self._spec.source
        return check_domain(name or next(iter(sources), "gender"), self.data.domains)

    def label(self, name: Label | None) -> Label:
        """Return the label named, else the spec's first, else hateful."""
        if name is not None:
            return name
        labels: Sequence[Label] = () if self._spec is None else self._spec.label
        return labels[0] if labels else "hateful"

    def labels(self, key: str) -> list[str]:
        """Return the labels of the spec's entries of a key (``corpus``, ``masker``)."""
        return [use.label for use in self._entries(key)]

    def use(self, key: str, asked: Asked, default: str) -> PluginUse:
        """Return the plugin that a person names, with its settings.

        Args:
            key: ``corpus``, ``masker`` or ``model``.
            asked: a label of the spec or a plugin's name; a None name means the spec's first
                entry.
            default: the plugin that is taken without a spec.

        Raises:
            SpecError: there is no such plugin, or a setting does not fit its config.
        """
        entries = {entry.label: entry for entry in self._entries(key)}
        family = PLUGIN_KEYS[key]
        if asked.name is None and self._spec is not None and not entries:
            raise SpecError(f"{self._path}: names no {family}; give --{family}")
        name = asked.name or next(iter(entries), default)
        raw: dict[str, Any] = {key: {"use": name}}
        if name in entries:
            raw = {key: {"use": entries[name].use, **entries[name].config}}
        elif self._spec is not None and name not in self._registry.names(family):
            raise SpecError(f"{self._path}: no {family} '{name}'{did_you_mean(name, entries)}")
        self._registry.get(family, raw[key]["use"])  # an unknown name gets the registry's message
        for setting in asked.settings:
            apply_override(raw, f"{key}.{setting}", option=asked.option)
        used = plugin_use(key, raw[key], (), self._registry, Lines(asked.option))
        return used.model_copy(update={"label": asked.label or name})

    def passages(
        self, use: PluginUse, domain: str, label: Label, split: Split, limit: int, seed: int
    ) -> tuple[Passage, ...]:
        """Read passages from a corpus.

        Raises:
            DataError: it has none, or cannot be read.
        """
        entry = self._registry.get("corpus", use.use)
        with guarded(entry, "passages"):
            corpus = self._registry.create("corpus", use.use, use.config)
        assert isinstance(corpus, Corpus)
        request = PassageRequest(
            domain=domain, label=label, split=split, limit=limit, seed=seed, data=self.data
        )
        passages = read_passages(entry, corpus, request)
        if not passages:
            raise DataError(
                f"corpus '{use.use}' has no {label} passage of '{domain}' in its {split} split; "
                "choose another --corpus, --domain, --label or --split"
            )
        return passages

    def masks(
        self,
        use: PluginUse,
        passages: tuple[Passage, ...],
        domain: str,
        seed: int,
        watch: Watch,
    ) -> tuple[MaskedPassage, ...]:
        """Mask passages.

        Raises:
            HarnessError: the masker failed; `watch` was told what it used of a service before.
        """
        entry = self._registry.get("masker", use.use)
        with guarded(entry, "estimate"):
            masker = self._registry.create("masker", use.use, use.config)
            assert isinstance(masker, Masker)
            request = MaskRequest(
                passages=passages,
                domain=domain,
                seed=seed,
                data=self.data,
                progress=watch.progress,
                account=lambda usage: watch.account(use.label, usage),
            )
            estimate = masker.estimate(request)
        if estimate.calls:
            watch.confirm(use.label, estimate)
        return mask_passages(entry, masker, request)

    def gaps(self, use: PluginUse, answers: Sequence[MaskedPassage], domain: str) -> Gaps:
        """Score the masked words of some passages with a model; see `harness.lm.association`.

        Raises:
            ModelError: the model cannot be loaded, or is not causal.
        """
        from harness.lm.association import association_gaps
        from harness.lm.infill import MarkedText

        entry = self._registry.get("model", use.use)
        with guarded(entry, "load"):
            plugin = self._registry.create("model", use.use, use.config)
        request = LoadRequest(cache_dir=self.data.cache_dir / "models")
        model = load_model(entry, plugin, request)
        if model.kind != "causal":
            raise ModelError(
                f"--gap: '{use.label}' is a masked model, which reads both sides of a word at "
                "once; name a causal model with --model"
            )
        texts = [
            MarkedText(a.passage.text, tuple((s.start, s.end) for s in a.spans)) for a in answers
        ]
        return association_gaps(model, texts, domain, self.data.domains)

    def _entries(self, key: str) -> Sequence[PluginUse]:
        entries: Mapping[str, Sequence[PluginUse]] = {}
        if self._spec is not None:
            entries = {
                "corpus": self._spec.corpus,
                "masker": self._spec.masker,
                "model": self._spec.model,
            }
        return entries.get(key, ())
