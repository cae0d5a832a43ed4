"""What a fit step of `mlm-unlearning` costs beside one forward and backward pass.

    python benchmarks/fit_step.py --data-dir DIR [--steps N] [--method infill-unlearning]

Runs the method itself on hateful passages of one domain (batches of 8, AdamW, fp32) and, after
each step, one forward and one backward pass of the same model on the tokens of that step that
matter: each text up to the last position that is read, all of them in one row without padding
(a mask keeps them apart), the output layer at the positions read, gradients from nothing. A
step's time is all that passes between two checkpoints: drawing the batch, forward, backward, the
gradient's norm, the optimiser, and whatever else. The first steps are left out: the optimiser
makes its state in them.

Prints both, their ratio (goal: 1.3), and where a step's time goes. ``optimiser`` is bound by
memory, not by arithmetic: AdamW reads and writes some 28 bytes a weight, whatever the batch.

With ``--method infill-unlearning``, steps of that method (8 candidates, its default) alternate with
steps of `mlm-unlearning` on another copy of the model and the same passages. Prints both, and their
ratio (goal: 4). The first epoch, in which candidates are chosen, counts as its steps come.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import measuring
import peers

GOAL = 1.3
"""Steps of mlm-unlearning against plain passes."""

INFILL_GOAL = 4.0
"""Steps of infill-unlearning against steps of mlm-unlearning, in CPU time."""

BASELINE, INFILL = "mlm-unlearning", "infill-unlearning"

LEFT_OUT = 2
"""First steps that do not count."""

Clock = tuple[float, float]
"""Seconds of the clock and of CPU time."""


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measuring.add_data_option(made)
    made.add_argument("--method", choices=(BASELINE, INFILL), default=BASELINE)
    made.add_argument("--corpus", default="dghs", help="plugin that gives the passages")
    made.add_argument("--domain", default="gender")
    made.add_argument("--passages", type=int, default=100)
    made.add_argument("--model", default="smollm2-135m", help="or a folder or hub id")
    made.add_argument("--device", default="cpu")
    made.add_argument("--steps", type=int, default=12, help="steps that count")
    made.add_argument("--check", action="store_true", help="fail if the goal is missed")
    measuring.add_history_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    options = parser().parse_args(arguments)
    if options.method == INFILL:
        compare(options)
        return
    figures = measure(options)
    show(figures)
    settings = {
        name: getattr(options, name)
        for name in ("model", "corpus", "domain", "passages", "steps", "device")
    }
    measuring.add_to_history(
        options, "fit_step", options.device, settings, figures, device=options.device
    )
    if options.check and figures["wall"]["ratio"] > GOAL:
        sys.exit(f"a fit step takes {figures['wall']['ratio']:.2f} times a plain pass")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Times of steps, of their parts, and of plain passes."""
    from harness_corpora.domains import BUILT_IN
    from harness_debiasers.mlm_unlearning import MlmUnlearning, MlmUnlearningConfig

    from harness.data.places import DataStore
    from harness.types import DebiasRequest, no_progress

    data = DataStore(data_dir=options.data_dir, domains=BUILT_IN)
    model = peers.load(options.model, options.device, "float32")
    request = DebiasRequest(
        model=model,
        domain=options.domain,
        passages=(),
        masked=masked_passages(options, data),
        neutral=(),
        steps=tuple(range(1, options.steps + LEFT_OUT + 1)),
        seed=0,
        data=data,
        progress=no_progress,
    )
    parts: dict[str, list[Clock]] = {}
    rows: list[Any] = []
    steps: list[Clock] = []
    plain: list[Clock] = []
    tokens = {"matter": 0, "padded": 0}
    with watching(model, parts, rows):
        checkpoints = MlmUnlearning(MlmUnlearningConfig()).debias(request)
        for number in range(options.steps + LEFT_OUT):
            rows.clear()
            if number == LEFT_OUT:
                parts.clear()
            started = now(options.device)
            next(checkpoints)
            spent = since(started, options.device)
            (asked,) = rows
            kept = [p.grad for p in model.module.parameters()]
            pass_time, count, padded = plain_pass(model, *asked, device=options.device)
            for parameter, gradient in zip(model.module.parameters(), kept, strict=True):
                parameter.grad = gradient
            if number >= LEFT_OUT:
                steps.append(spent)
                plain.append(pass_time)
                tokens["matter"] += count
                tokens["padded"] += padded
    figures: dict[str, Any] = {"tokens_a_step": {k: v / len(steps) for k, v in tokens.items()}}
    for k, clock in enumerate(("wall", "cpu")):
        total = sum(s[k] for s in steps)
        shares = {name: sum(t[k] for t in times) for name, times in parts.items()}
        shares["everything else"] = total - sum(shares.values())
        figures[clock] = {
            "step": round(total / len(steps), 4),
            "plain": round(sum(p[k] for p in plain) / len(plain), 4),
            "ratio": round(total / sum(p[k] for p in plain), 3),
            "parts": {name: round(value / len(steps), 4) for name, value in shares.items()},
        }
    return figures


def compare(options: argparse.Namespace) -> None:
    """Measure steps of both methods in turn; print and keep."""
    from harness_debiasers.infill_unlearning import InfillUnlearning, InfillUnlearningConfig
    from harness_debiasers.mlm_unlearning import MlmUnlearning, MlmUnlearningConfig

    from harness.data.places import DataStore
    from harness.plugins import load_registry
    from harness.types import DebiasRequest, no_progress

    data = DataStore(data_dir=options.data_dir).knowing(load_registry().domains)
    masked = masked_passages(options, data)
    fits = {}
    parts: dict[str, dict[str, list[Clock]]] = {}
    for method in (
        MlmUnlearning(MlmUnlearningConfig()),
        InfillUnlearning(InfillUnlearningConfig(checked=0)),
    ):
        model = peers.load(options.model, options.device, "float32")
        parts[method.name] = {}
        watch(model, parts[method.name], options.device)
        fits[method.name] = method.debias(
            DebiasRequest(
                model=model,
                domain=options.domain,
                masked=masked,
                steps=tuple(range(1, options.steps + LEFT_OUT + 1)),
                data=data,
                progress=no_progress,
            )
        )
    steps: dict[str, list[Clock]] = {name: [] for name in fits}
    for number in range(options.steps + LEFT_OUT):
        for name, checkpoints in fits.items():
            if number == LEFT_OUT:
                parts[name].clear()
            started = now(options.device)
            next(checkpoints)
            if number >= LEFT_OUT:
                steps[name].append(since(started, options.device))
    figures: dict[str, Any] = {}
    for k, clock in enumerate(("wall", "cpu")):
        means = {name: sum(s[k] for s in taken) / len(taken) for name, taken in steps.items()}
        figures[clock] = {
            **{name: round(mean, 4) for name, mean in means.items()},
            "ratio": round(means[INFILL] / means[BASELINE], 3),
            "parts": {
                f"{name}: {part}": round(sum(t[k] for t in times) / options.steps, 4)
                for name, own in parts.items()
                for part, times in own.items()
            },
        }
    wall, cpu = figures["wall"], figures["cpu"]
    measuring.print_table(
        f"a fit step on {len(masked)} passages, batches of 8",
        ("", "seconds", "CPU seconds"),
        [
            *((name, f"{wall[name]:.3f}", f"{cpu[name]:.3f}") for name in fits),
            ("ratio", f"{wall['ratio']:.2f}", f"{cpu['ratio']:.2f}"),
            *(
                (name, f"{wall['parts'][name]:.3f}", f"{cpu['parts'][name]:.3f}")
                for name in wall["parts"]
            ),
        ],
    )
    settings = {
        name: getattr(options, name)
        for name in ("method", "model", "corpus", "domain", "passages", "steps", "device")
    }
    measuring.add_to_history(
        options, "fit_step_infill", options.device, settings, figures, device=options.device
    )
    if options.check and cpu["ratio"] > INFILL_GOAL:
        sys.exit(f"a step of {INFILL} takes {cpu['ratio']:.2f} times one of {BASELINE}")


def watch(model: Any, parts: dict[str, list[Clock]], device: str) -> None:
    """Put clocks around what a step asks of the model: passes with a graph, and without."""

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            started = now(device)
            try:
                return function(*args, **kwargs)
            finally:
                parts.setdefault(name, []).append(since(started, device))

        return run

    model.training_logits = clocked("forward with a graph", model.training_logits)
    model.window_scores = clocked("scoring", model.window_scores)


def masked_passages(options: argparse.Namespace, data: Any) -> tuple[Any, ...]:
    """Hateful passages of the domain with the words of the word list masked."""
    from harness.boundary import mask_passages, read_passages
    from harness.plugins import load_registry
    from harness.types import MaskRequest, PassageRequest, no_progress

    registry = load_registry()
    corpus: Any = registry.create("corpus", options.corpus, {})
    masker: Any = registry.create("masker", "wordlist", {})
    passages = read_passages(
        registry.get("corpus", options.corpus),
        corpus,
        PassageRequest(
            domain=options.domain,
            label="hateful",
            split="train",
            limit=options.passages,
            data=data,
        ),
    )
    asked = MaskRequest(passages=passages, domain=options.domain, data=data, progress=no_progress)
    return mask_passages(registry.get("masker", "wordlist"), masker, asked)


# -- clocks ----------------------------------------------------------------------------------


def now(device: str) -> Clock:
    """The clocks, once the device has done what it was given."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def since(started: Clock, device: str) -> Clock:
    """Seconds since then."""
    ended = now(device)
    return ended[0] - started[0], ended[1] - started[1]


@contextmanager
def watching(model: Any, parts: dict[str, list[Clock]], rows: list[Any]) -> Iterator[None]:
    """Put clocks around the parts of a step, and note what each asks of the model."""
    import torch
    from harness_debiasers import training

    device = str(next(model.module.parameters()).device)

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if name == "forward":
                rows.append(args)
            started = now(device)
            try:
                return function(*args, **kwargs)
            finally:
                parts.setdefault(name, []).append(since(started, device))

        return run

    places: list[tuple[Any, str, str]] = [
        (torch.Tensor, "backward", "backward"),
        (training, "gradient_norm", "gradient norm"),
        (torch.optim.AdamW, "step", "optimiser"),
        (torch.optim.AdamW, "zero_grad", "forgetting gradients"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    model.training_logits = clocked("forward", model.training_logits)
    for owner, name, title in places:
        setattr(owner, name, clocked(title, getattr(owner, name)))
    try:
        yield
    finally:
        del model.training_logits
        for owner, name, function in before:
            setattr(owner, name, function)


# -- the plain pass --------------------------------------------------------------------------


def plain_pass(
    model: Any,
    rows: Sequence[Sequence[int]],
    index: Sequence[int],
    position: Sequence[int],
    *,
    device: str,
) -> tuple[Clock, int, int]:
    """One forward and backward pass on what is read of the rows.

    Returns:
        Its time, the tokens that matter, and how many there are when all rows are padded.
    """
    import torch

    ends = [0] * len(rows)
    for row, place in zip(index, position, strict=True):
        ends[row] = max(ends[row], place + 1)
    kept = [list(row[:end]) for row, end in zip(rows, ends, strict=True)]
    starts = [sum(map(len, kept[:k])) for k in range(len(kept))]
    flat = torch.tensor([[token for row in kept for token in row]], device=device)
    places = torch.tensor([[k for row in kept for k in range(len(row))]], device=device)
    owner = torch.tensor([k for k, row in enumerate(kept) for _ in row], device=device)
    order = torch.arange(len(owner), device=device)
    seen = (owner[:, None] == owner[None]) & (order[:, None] >= order[None])
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]
    read = torch.tensor(
        [starts[r] + p for r, p in zip(index, position, strict=True)], device=device
    )
    target = torch.tensor(
        [rows[r][p + 1] for r, p in zip(index, position, strict=True)], device=device
    )
    module = model.module
    module.zero_grad(set_to_none=True)
    started = now(device)
    hidden = module.base_model(
        input_ids=flat, attention_mask=mask, position_ids=places, use_cache=False
    ).last_hidden_state[0, read]
    logits = module.get_output_embeddings()(hidden)
    chosen = torch.log_softmax(logits.float(), dim=-1).gather(-1, target[:, None])
    torch.autograd.backward(chosen.mean())  # not the clocked method
    return since(started, device), len(owner), len(rows) * max(map(len, rows))


def show(figures: dict[str, Any]) -> None:
    """Print step and pass, and where a step's time goes."""
    wall, cpu = figures["wall"], figures["cpu"]
    tokens = figures["tokens_a_step"]
    measuring.print_table(
        f"a fit step; {tokens['matter']:.0f} tokens matter, {tokens['padded']:.0f} when padded",
        ("", "seconds", "CPU seconds"),
        [
            ("step", f"{wall['step']:.3f}", f"{cpu['step']:.3f}"),
            ("plain pass", f"{wall['plain']:.3f}", f"{cpu['plain']:.3f}"),
            ("ratio", f"{wall['ratio']:.2f}", f"{cpu['ratio']:.2f}"),
            *(
                (f"of the step: {name}", f"{wall['parts'][name]:.3f}", f"{cpu['parts'][name]:.3f}")
                for name in wall["parts"]
            ),
        ],
    )


if __name__ == "__main__":
    main()
