"""What only a GPU can show: exact fp32, decisions in bfloat16, a LoRA fit, a model that is spread.

    python benchmarks/gpu_checks.py fp32 --device cuda --data-dir DIR
    python benchmarks/gpu_checks.py bf16 lora spread --device cuda --data-dir DIR

``fp32``    A product of two matrices on the device is as exact as fp32 is, which it is not with
            TF32, and a model's scores there are those of the CPU. Fails otherwise.
``bf16``    How many decisions of CrowS-Pairs and StereoSet change when the model runs in bfloat16.
``lora``    A fit of `mlm-unlearning` with an adapter of rank 16 beside one of all weights: seconds
            a step and memory. Fails if the adapter leaves the model's scores as they were.
``spread``  Scores of a model of which half the layers lie off the device (`device: auto`): the same
            as on one device, or it fails; and how many times as long they take.

``--device cpu`` runs the same code without a GPU, where the offloaded layers are on
disk. Each check is one line of the history.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import fit_step
import measuring
import numpy as np
import peers
from vs_lm_eval import model_folder

if TYPE_CHECKING:
    from harness.lm.handle import LanguageModel

BOUND = 1e-4
"""Nats a token between two ways to run the same model in fp32."""

EXACT = 1e-5
"""Relative error of a product in fp32, which has about 3e-7; one in TF32 has about 3e-4."""

SUITES = ("crows-pairs", "stereoset")
RANK = 16

Figures = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("checks", nargs="+", choices=CHECKS)
    measuring.add_data_option(made)
    made.add_argument("--model", default="smollm2-135m", help="or a folder")
    made.add_argument("--device", default="cuda")
    made.add_argument("--limit", type=int, help="items a suite and domain; default: all")
    made.add_argument("--corpus", default="dghs", help="plugin that gives the passages of a fit")
    made.add_argument("--domain", default="gender")
    made.add_argument("--passages", type=int, default=100)
    made.add_argument("--steps", type=int, default=12, help="steps of a fit that count")
    made.add_argument("--product", type=int, default=4096, help="rows of the product")
    measuring.add_history_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the checks asked for, print and keep their figures, and fail if one failed."""
    options = parser().parse_args(arguments)
    problems = []
    for name in options.checks:
        figures, problem = CHECKS[name](options)
        rows = [(key, shown(value)) for key, value in figures.items()]
        measuring.print_table(f"{name}, {options.model} on {options.device}", ("", "found"), rows)
        kept = ("model", "limit", "corpus", "passages", "steps", "product")
        settings = {key: getattr(options, key) for key in kept}
        case = f"{name} {options.device}"
        measuring.add_to_history(
            options, "gpu_checks", case, settings, figures, device=options.device
        )
        problems += [f"{name}: {problem}"] if problem else []
    if problems:
        sys.exit("; ".join(problems))


def shown(value: Any) -> str:
    """A figure as the table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# -- fp32 ------------------------------------------------------------------------------------


def check_fp32(options: Namespace) -> tuple[Figures, str | None]:
    """Compare a product with fp64, and scores with those of the CPU."""
    import torch

    model = peers.load(options.model, options.device, "float32")  # what it switches on counts
    torch.manual_seed(0)
    a, b = (torch.randn(options.product, options.product, device=options.device) for _ in range(2))
    exact = a.double() @ b.double()
    error = float((a @ b - exact).norm() / exact.norm())
    texts = some_texts(options, model)
    found = peers.with_harness(model, texts)
    on_cpu = peers.with_harness(peers.load(options.model, "cpu", "float32"), texts)
    apart = largest_difference(found, on_cpu)
    figures: Figures = {
        "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE", "not set"),
        "torch allows TF32": bool(torch.backends.cuda.matmul.allow_tf32),
        "relative error of a product": error,
        "texts": len(texts),
        "nats a token from the CPU": apart,
    }
    problem = None
    if figures["torch allows TF32"] or error > EXACT:
        problem = f"TF32 is on: a product's relative error is {error:.1e}; NVIDIA_TF32_OVERRIDE=0"
    elif apart > BOUND:
        problem = f"scores are {apart:.1e} nats a token from those of the CPU"
    return figures, problem


def some_texts(options: Namespace, model: LanguageModel, most: int = 40) -> list[str]:
    """Sentences of CrowS-Pairs that fit into the model."""
    limit = min(options.limit or most, most)
    groups = peers.suites(["crows-pairs"], options.data_dir, None, 1)["crows-pairs"]
    fitting = [g for g in groups if all(len(model.encode(t)) <= model.max_tokens for t in g)]
    return [text for group in peers.spread(fitting, limit) for text in group]


def largest_difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Largest difference of a text's mean score, in nats a token."""
    pairs = zip(ours, theirs, strict=True)
    return max(abs(float(a.mean() - b.mean())) for a, b in pairs if len(a))


# -- bf16 ------------------------------------------------------------------------------------


def check_bf16(options: Namespace) -> tuple[Figures, str | None]:
    """Count the decisions that change."""
    decided = {}
    seconds = {}
    for dtype in ("float32", "bfloat16"):
        model = peers.load(options.model, options.device, dtype)
        started = fit_step.now(options.device)
        decided[dtype] = {suite: decisions(suite, model, options) for suite in SUITES}
        seconds[dtype] = fit_step.since(started, options.device)[0]
    figures: Figures = {}
    for suite in SUITES:
        exact, rough = (decided[dtype][suite] for dtype in ("float32", "bfloat16"))
        changed = sum(exact[item] != rough[item] for item in exact)
        figures[f"{suite}: decisions"] = len(exact)
        figures[f"{suite}: changed"] = changed
        figures[f"{suite}: changed, %"] = round(100 * changed / len(exact), 2)
    figures |= {f"seconds in {dtype}": round(own, 3) for dtype, own in seconds.items()}
    return figures, None


def decisions(suite: str, model: LanguageModel, options: Namespace) -> dict[str, float]:
    """Each decision of a suite's first protocol, by domain, item and name."""
    from harness.data.places import DataStore
    from harness.plugins import load_registry
    from harness.quantities import Decision
    from harness.types import EvaluationRequest, no_progress

    registry = load_registry()
    evaluator: Any = registry.create("evaluator", suite, {})
    request = EvaluationRequest(
        model=model,
        domains=tuple(registry.get("evaluator", suite).plugin.domains),
        limit=options.limit,
        data=DataStore(data_dir=options.data_dir).knowing(registry.domains),
        progress=no_progress,
    )
    found = {}
    for measurement in evaluator.evaluate(request):
        names = [
            name
            for name, quantity in evaluator.quantities(measurement.protocol).items()
            if isinstance(quantity, Decision)
        ]
        for item in measurement.items:
            for name in names:
                key = f"{measurement.protocol}/{measurement.domain}/{item.id}/{name}"
                found[key] = float(item.values[name])
    return found


# -- a LoRA fit ------------------------------------------------------------------------------


def check_lora(options: Namespace) -> tuple[Figures, str | None]:
    """Fit all weights, then an adapter, on the same passages."""
    figures: Figures = {}
    moved = 0.0
    for title, config in (("all weights", {}), (f"LoRA {RANK}", {"lora": {"rank": RANK}})):
        model = peers.load(options.model, options.device, "float32")
        texts = some_texts(options, model)
        before = peers.with_harness(model, texts)
        forget_peak(options.device)
        seconds = fit(model, config, options)
        figures[f"{title}: s a step"] = round(statistics.median(seconds), 4)
        figures[f"{title}: peak MiB"] = round(peak(options.device))
        moved = largest_difference(peers.with_harness(model, texts), before)
        figures[f"{title}: scores moved, nats a token"] = moved
        del model
    return figures, None if moved > BOUND else "the adapter does not move the scores"


def fit(model: LanguageModel, config: Any, options: Namespace) -> list[float]:
    """Unlearn in place; the seconds of each step that counts."""
    from harness.data.places import DataStore
    from harness.plugins import load_registry
    from harness.types import DebiasRequest, no_progress

    registry = load_registry()
    data = DataStore(data_dir=options.data_dir).knowing(registry.domains)
    steps = options.steps + fit_step.LEFT_OUT
    method: Any = registry.create("debiaser", fit_step.BASELINE, {"learning_rate": 1e-4, **config})
    checkpoints = method.debias(
        DebiasRequest(
            model=model,
            domain=options.domain,
            masked=fit_step.masked_passages(options, data),
            steps=tuple(range(1, steps + 1)),
            data=data,
            progress=no_progress,
        )
    )
    seconds = []
    for number in range(steps):
        started = fit_step.now(options.device)
        next(checkpoints)
        if number >= fit_step.LEFT_OUT:
            seconds.append(fit_step.since(started, options.device)[0])
    checkpoints.close()
    return seconds


def forget_peak(device: str) -> None:
    """Start a new peak of memory."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        measuring.forget_peak()


def peak(device: str) -> float:
    """MiB of the device's memory at most since `forget_peak`."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return measuring.memory().peak


# -- a model that is spread ------------------------------------------------------------------


def check_spread(options: Namespace) -> tuple[Figures, str | None]:
    """Score with half the layers off the device, and with all on it."""
    from harness.lm.loading.placement import devices

    folder = str(model_folder(options.model))
    whole = peers.load(folder, options.device, "float32")
    texts = some_texts(options, whole)
    expected, seconds = scored(whole, texts, options.device)
    first = "0" if options.device.startswith("cuda") else "cpu"
    limits = {first: f"{room_for_half(whole.module)}KiB"}
    if first != "cpu":
        limits["cpu"] = "60GiB"
    spread = peers.load(folder, "auto", "float32", limits)
    found, longer = scored(spread, texts, options.device)
    apart = largest_difference(found, expected)
    places = devices(spread.module)
    figures: Figures = {
        "max_memory": limits,
        "weights are on": places,
        "texts": len(texts),
        "s on one device": round(seconds, 3),
        "s spread": round(longer, 3),
        "nats a token apart": apart,
    }
    problem = None
    if "," not in places:
        problem = f"all weights are on {places}"
    elif apart > BOUND:
        problem = f"scores are {apart:.1e} nats a token apart"
    return figures, problem


def room_for_half(module: Any) -> int:
    """KiB for what is outside the layers, half of the layers, and one that is fetched."""
    layers = [
        sum(weight.numel() * weight.element_size() for weight in layer.parameters())
        for layer in module.base_model.get_submodule(layers_of(module))
    ]
    total = sum(weight.numel() * weight.element_size() for weight in module.parameters())
    inside = sum(layers)
    return -(-(total - inside + inside // 2 + max(layers)) // 2**10)


def layers_of(module: Any) -> str:
    """Name of the list of layers in the body: ``layers``, ``h``, …"""
    import torch

    lists = [
        (len(part), name)
        for name, part in module.base_model.named_modules()
        if isinstance(part, torch.nn.ModuleList)
    ]
    return max(lists)[1]


def scored(
    model: LanguageModel, texts: Sequence[str], device: str
) -> tuple[list[np.ndarray], float]:
    """Scores, and the seconds that they took the second time."""
    peers.with_harness(model, texts)
    started = fit_step.now(device)
    found = peers.with_harness(model, texts)
    return found, fit_step.since(started, device)[0]


CHECKS: dict[str, Callable[[Namespace], tuple[Figures, str | None]]] = {
    "fp32": check_fp32,
    "bf16": check_bf16,
    "lora": check_lora,
    "spread": check_spread,
}


if __name__ == "__main__":
    main()
