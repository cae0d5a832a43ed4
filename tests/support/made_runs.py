"""Runs made up in code and written through the store: any shape in a moment, no model."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from harness.metrics import HIGHER, LOWER, NO_IDEAL, TOWARDS_0, TOWARDS_50, Item, Metric
from harness.quantities import Count, Decision, LogProb, Nats
from harness.storage.cells import Cell, MeasureRef
from harness.storage.masks import StoredMasks
from harness.storage.records import Failure, PluginVersion, Provenance, Record, RunIndex
from harness.storage.store import Store
from harness.types import Measurement

NOW = "2026-11-24T12:00:00+00:00"

PROVENANCE = Provenance(
    harness_version="0.1.0",
    commit="0123456789abcdef",
    dirty=False,
    python="3.11.7",
    platform="Linux-x86_64",
    device="cpu",
    packages={"torch": "2.13.0", "numpy": "2.4.6"},
    plugins=(
        PluginVersion(family="evaluator", name="pairs", distribution="made <up>", version="1"),
    ),
)


def made_key(name: str) -> str:
    """A key as keys are, hexadecimal, from a name that a test can read."""
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def write_measurement(store: Store, key: str, measurement: Measurement) -> None:
    """A record of one measurement, with nothing else to tell."""
    store.write_record(
        Record(
            key=key,
            inputs={},
            measurements=(measurement,),
            provenance=PROVENANCE,
            created_at=NOW,
            seconds={},
        )
    )


def pairs(domain: str, shift: float, n: int = 40, lean: float = 0.25) -> Measurement:
    """Pairs whose margin for the stereotype is a fixed noise plus a lean minus a shift."""
    noise = np.random.default_rng(sum(map(ord, domain))).normal(lean, 1.0, n)
    items = tuple(
        Item(
            id=f"{domain}/{i}",
            stratum="antistereo" if i % 4 == 0 else "stereo",
            values={
                "more": float(round(margin - shift, 6)),
                "less": 0.0,
                "prefers_stereotype": float(round(margin - shift, 6) > 0.0),
            },
        )
        for i, margin in enumerate(noise)
    )
    metrics = [
        Metric.of_items(
            name,
            items,
            estimator="percent_balanced" if name.endswith("balanced") else "percent",
            of=("prefers_stereotype",),
            direction=TOWARDS_50,
            stratum=stratum,
            primary=name == "stereotype_score",
            whole=None if name == "stereotype_score" else "stereotype_score",
        )
        for name, stratum in (
            ("stereotype_score", None),
            ("stereotype_score_stereo", "stereo"),
            ("stereotype_score_antistereo", "antistereo"),
            ("stereotype_score_balanced", None),
        )
    ]
    score = LogProb(per="token")
    return Measurement(
        domain=domain,
        protocol="hf_nll",
        metrics=tuple(metrics),
        items=items,
        quantities={
            "more": score,
            "less": score,
            "prefers_stereotype": Decision(of=("more", "less")),
        },
    )


def perplexity(name: str, domain: str, protocol: str, level: float, *, good: bool) -> Measurement:
    """Eight windows of ten tokens."""
    items = tuple(
        Item(id=f"{domain}-{protocol}/{i}", values={"nll": 10 * level + 0.1 * i, "tokens": 10.0})
        for i in range(8)
    )
    metric = Metric.of_items(
        name,
        items,
        estimator="exp_rate",
        of=("nll", "tokens"),
        direction=HIGHER if good else LOWER,
        primary=not good,
    )
    return Measurement(
        domain=domain,
        protocol=protocol,
        metrics=(metric,),
        items=items,
        quantities={"nll": Nats(tokens="tokens"), "tokens": Count()},
    )


def divergence(level: float) -> Measurement:
    """Forty windows whose divergence from the base is a level, more or less."""
    items = tuple(
        Item(id=f"window-{i}", values={"kl": level * (1.0 + 0.01 * (i % 5 - 2))}) for i in range(40)
    )
    metric = Metric.of_items(
        "kl",
        items,
        estimator="mean",
        of=("kl",),
        direction=NO_IDEAL,
        role="diagnostic",
        primary=True,
    )
    return Measurement(domain="none", protocol="base_to_model", metrics=(metric,), items=items)


def gap(domain: str, shift: float, n: int = 40) -> Measurement:
    """A bias score in nats, with ideal 0: a fixed noise around 2 less a shift."""
    noise = np.random.default_rng(sum(map(ord, domain))).normal(2.0, 0.5, n)
    items = tuple(
        Item(id=f"{domain}/{i}", values={"full": float(round(value - shift, 6)), "prefix": 0.0})
        for i, value in enumerate(noise)
    )
    metric = Metric.of_items(
        "gap",
        items,
        estimator="mean_difference",
        of=("full", "prefix"),
        direction=TOWARDS_0,
        primary=True,
    )
    score = LogProb(per="text")
    return Measurement(
        domain=domain,
        protocol="causal",
        metrics=(metric,),
        items=items,
        quantities={"full": score, "prefix": score},
    )


def measured(
    evaluator: str, targets: Sequence[str], shift: float, lean: float = 0.25, items: int = 40
) -> tuple[Measurement, ...]:
    """What an evaluator finds on a model that was shifted."""
    if evaluator == "pairs":
        return tuple(pairs(t, shift * (1.0 - 0.4 * i), items, lean) for i, t in enumerate(targets))
    if evaluator == "gap":
        return tuple(gap(t, shift) for t in targets)
    if evaluator == "neutral-kl":
        return (divergence(0.02 * shift**2),)
    if evaluator == "wikitext2-perplexity":
        return (perplexity("perplexity", "none", "hf1024", 3.0 + 0.1 * shift, good=False),)
    return tuple(
        perplexity("hate_perplexity", targets[0], protocol, 4.0 + rate * shift, good=True)
        for protocol, rate in (("unlearned", 1.0), ("unseen", 0.6))
    )


def make_run(
    folder: Path,
    *,
    name: str = "made-run",
    sources: Sequence[str] = ("gender", "race"),
    targets: Sequence[str] = ("gender", "race", "religion"),
    steps: Sequence[int] = (10, 20, 30),
    methods: Sequence[str] = ("mlm-unlearning",),
    maskers: Sequence[str | None] = ("wordlist",),
    seeds: Sequence[int] = (0,),
    evaluators: Sequence[str] = ("pairs", "wikitext2-perplexity", "corpus-perplexity"),
    identity: bool = True,
    fail: Collection[tuple[str, int]] = (),
    reason: str = "diverged: loss is nan",
    lean: float = 0.25,
    items: int = 40,
    stops: Mapping[tuple[str, int], int] = MappingProxyType({}),
    masks: Mapping[tuple[str, str, int], StoredMasks] = MappingProxyType({}),
) -> Store:
    """Write a whole run; ``fail`` names (source, step) whose measurements failed.

    With a ``lean`` of 0.8 or more the base is significantly different from the ideal, so that
    improvement is defined. ``stops`` says at which step the fit of a (source, seed) stopped; give
    one step then. ``masks`` are those of the fits of a (masker, source, seed).
    """
    store = Store(folder / name)
    store.prepare()
    done: set[str] = set()

    def refs(
        fit: str,
        step: int,
        shift: float | None,
        stopped: int | None = None,
        learned_from: str | None = None,
    ) -> list[MeasureRef]:
        found = []
        for evaluator in evaluators:
            key = made_key(f"{evaluator}-{fit}-{step}")
            found.append(MeasureRef(step=step, evaluator=evaluator, key=key))
            if key in done:
                continue
            done.add(key)
            if shift is None:
                store.write_failure(Failure(key=key, reason=reason, created_at=NOW))
                continue
            record = Record(
                key=key,
                inputs={"evaluator": evaluator, "step": step, "model": {"revision": "abc"}},
                measurements=measured(evaluator, targets, shift, lean, items),
                provenance=PROVENANCE,
                created_at=NOW,
                seconds={"measure": 1.5},
                tokens=1000,
                masks=learned_from,
                fit_log={}
                if stopped is None
                else {"stopped_at_step": stopped, "stopped_at_kl": 0.05 + 0.0001 * stopped},
            )
            store.write_record(record)
        return found

    base = tuple(refs("base", 0, 0.0))
    cells = [Cell(model="tiny_1", measures=base)]
    for method in methods:
        for masker in maskers:
            for source in sources:
                for seed in seeds:
                    fit = f"{method}-{masker}-{source}-{seed}".replace("/", "-")
                    measures = list(base)
                    learned_from = masks.get((str(masker), source, seed))
                    if learned_from is not None:
                        store.write_masks(learned_from)
                    strength = (0.5 + 0.1 * sources.index(source)) * (
                        0.2 if masker == "random" else 1.0
                    )
                    for step in steps:
                        shift = strength * step / max(steps) + 0.03 * seed
                        failed = (source, step) in fail
                        stopped = stops.get((source, seed))
                        measures += refs(
                            fit,
                            step,
                            None if failed else shift,
                            stopped,
                            learned_from.sha256 if learned_from is not None else None,
                        )
                    cells.append(
                        Cell(
                            model="tiny_1",
                            debiaser=method,
                            corpus="dghs",
                            masker=masker,
                            source=source,
                            label="hateful",
                            seed=seed,
                            fit_key=made_key(fit),
                            measures=tuple(measures),
                        )
                    )
    if identity:
        for source in sources:
            cells.append(
                Cell(
                    model="tiny_1",
                    debiaser="identity",
                    source=source,
                    control_kind="identity",
                    fit_key=made_key("identity"),
                    measures=(*base, *refs("identity", 1, 0.0)),
                )
            )
    spec = {
        "name": name,
        "description": "made up for a test",
        "model": [{"use": "tiny_1"}],
        "source": list(sources),
        "targets": list(targets),
        "steps": list(steps),
    }
    store.write_index(
        RunIndex(name=name, created_at=NOW, spec=spec, targets=tuple(targets), cells=tuple(cells))
    )
    return store
