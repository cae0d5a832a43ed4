"""What a run costs: tokens, floating-point operations, GPU hours, money.

    python benchmarks/cost.py                        the tables of docs/scaling.md
    python benchmarks/cost.py --weights 13e9 --gpu L40S=362,48,0.86,0.9 --sources 5 --seeds 3
    python benchmarks/cost.py --measure --data-dir DIR     counts and measures; writes cost.json
    python benchmarks/cost.py --page docs/scaling.md       rewrites the tables of that page

Counts of tokens are exact for the tokenizer they were taken with, and the shares of a machine's
rate that scoring and fitting reach are measured; both lie in cost.json. Rates, memory and prices
of GPUs and the shares reached there are assumptions, to be replaced by your own. The formulas
are in docs/scaling.md; attention (a few per cent at these lengths) is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import measuring

FACTS = Path(__file__).with_name("cost.json")
BEGIN, END = "<!-- benchmarks/cost.py writes from here", "<!-- to here -->"


@dataclass(frozen=True)
class Gpu:
    """A device: dense TFLOP/s by dtype, memory in GB and in TB/s, dollars an hour."""

    name: str
    tflops: dict[str, float]
    memory: float
    bandwidth: float
    price: float


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("A100", {"float32": 19.5, "bfloat16": 312}, 80, 2.04, 1.5),
        Gpu("H100", {"float32": 67, "bfloat16": 989}, 80, 3.35, 3.0),
    )
}
"""Peaks from NVIDIA's data sheets (SXM, dense, fp32 without TF32); prices are round numbers
within what is asked on demand in 2026, see docs/scaling.md."""


@dataclass(frozen=True)
class Case:
    """A run and the assumptions under which it is costed; the options of the command."""

    weights: float = 7e9
    dtype: str = "bfloat16"
    lora: bool = False
    checkpointing: bool = False
    models: int = 1
    sources: int = 10
    targets: int = 10
    methods: int = 1
    maskers: int = 1
    seeds: int = 1
    steps: int = 50
    checkpoints: int = 5
    passages: int = 400
    unseen: int = 200
    score_share: float = 0.35
    fit_share: float = 0.30
    bandwidth_share: float = 0.70
    read_rate: float = 1e9


@dataclass(frozen=True)
class Cost:
    """What a case comes to; see docs/scaling.md for each formula."""

    fits: int
    measurements: int
    fit_tokens: float
    measure_tokens: float
    fit_flop: float
    measure_flop: float
    gpus: int
    load_hours: float
    hours: float
    money: float


NAMES = {
    "crows-pairs": "CrowS-Pairs, 1,508 pairs, shared prefixes once",
    "stereoset": "StereoSet dev intrasentence, 2,106 triples, shared prefixes once",
    "wikitext2": "WikiText-2 test, all windows",
    "fit step": "a fit step of `mlm-unlearning`, 8 passages up to their last masked word",
    "passage": "a hateful passage of DGHS, on average",
}

SUITES = ("crows-pairs", "stereoset", "wikitext2")
"""Suites that are measured whole."""

BYTES = {"float32": 4, "bfloat16": 2}


def cost(case: Case, gpu: Gpu, facts: dict[str, Any]) -> Cost:
    """Apply the formulas."""
    fits = case.models * case.sources * case.methods * case.maskers * case.seeds
    measurements = case.models + fits * case.checkpoints
    fit_tokens = fits * case.steps * facts["tokens"]["fit step"]
    read = case.passages + case.unseen * case.targets
    suites = sum(facts["tokens"][name] for name in SUITES)
    measure_tokens = measurements * (suites + read * facts["tokens"]["passage"])
    passes = (4 if case.lora else 6) + (2 if case.checkpointing else 0)
    fit_flop = passes * case.weights * fit_tokens
    measure_flop = 2 * case.weights * measure_tokens
    rate = gpu.tflops[case.dtype] * 1e12
    gpus = math.ceil(memory(case) / (0.9 * gpu.memory * 1e9))
    units = case.models + fits
    load = units * case.weights * BYTES[case.dtype] / case.read_rate
    # a step is bound by arithmetic, or by reading and writing all weights, whichever takes longer
    traffic = (3 if case.lora else 10) * case.weights * BYTES[case.dtype] * fits * case.steps
    fit = max(
        fit_flop / (rate * case.fit_share), traffic / (gpu.bandwidth * 1e12 * case.bandwidth_share)
    )
    busy = fit + measure_flop / (rate * case.score_share)
    hours = gpus * (busy + load) / 3600
    return Cost(
        fits=fits,
        measurements=measurements,
        fit_tokens=fit_tokens,
        measure_tokens=measure_tokens,
        fit_flop=fit_flop,
        measure_flop=measure_flop,
        gpus=gpus,
        load_hours=gpus * load / 3600,
        hours=hours,
        money=hours * gpu.price,
    )


def memory(case: Case) -> float:
    """Bytes of a fit without activations: weights, and their gradient and AdamW's two moments."""
    own = case.weights * BYTES[case.dtype]
    return own * (1.05 if case.lora else 4)


# -- tables ----------------------------------------------------------------------------------


def tables(facts: dict[str, Any]) -> str:
    """The generated part of docs/scaling.md."""
    full = Case()
    lora = replace(full, lora=True)
    study = replace(full, methods=5, maskers=2, seeds=3)
    cases = {
        "7B, bf16, all weights": full,
        "7B, bf16, LoRA": lora,
        "7B, fp32, LoRA": replace(lora, dtype="float32"),
        "7B, bf16, LoRA, gradient checkpointing": replace(lora, checkpointing=True),
        "7B, bf16, all weights: 5 methods, 2 maskers, 3 seeds": study,
        "135M, fp32, all weights": replace(full, weights=134.5e6, dtype="float32"),
    }
    rows = [
        "| run of 10 sources by 10 targets | GPU | GPUs a fit | fits | measurements | PFLOP | "
        "GPU hours | of it loading | dollars |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, case in cases.items():
        for gpu in GPUS.values():
            rows.append(row(name, case, gpu, cost(case, gpu, facts)))
    counted = "\n".join(
        f"| {NAMES.get(name, name)} | {count:,.0f} |"
        for name, count in sorted(facts["tokens"].items())
    )
    found = facts["measured"]
    share = {name: found[name]["share"] for name in ("scoring", "fitting")}
    return "\n\n".join(
        (
            f"Counted with the tokenizer of {facts['model']}:",
            f"| what | tokens that are run |\n|---|--:|\n{counted}",
            f"Measured with {facts['model']} in fp32 on {facts['machine']['cpu']}, "
            f"{facts['machine']['threads']} thread(s), load average "
            f"{facts['machine']['load_average']}: scoring ran "
            f"{found['scoring']['tokens_a_second']:,.0f} tokens a CPU second, "
            f"{share['scoring']:.0%} of the rate of the machine's own large fp32 product; a fit "
            f"step {found['fitting']['tokens_a_second']:,.0f} tokens, {share['fitting']:.0%}.",
            f"Assumed of the GPUs: {full.score_share:.0%} of the peak while scoring, "
            f"{full.fit_share:.0%} while fitting and {full.bandwidth_share:.0%} of the memory's "
            f"bandwidth, weights loaded at {full.read_rate / 1e9:g} GB/s.",
            "\n".join(rows),
        )
    )


def row(name: str, case: Case, gpu: Gpu, found: Cost) -> str:
    """A line of the table of costs."""
    flop = (found.fit_flop + found.measure_flop) / 1e15
    return (
        f"| {name} | {gpu.name} | {found.gpus} | {found.fits} | {found.measurements} | "
        f"{flop:,.0f} | {found.hours:,.2f} | {found.load_hours:,.2f} | {found.money:,.2f} |"
    )


def write_page(page: Path, text: str) -> None:
    """Put the tables between the marks of a page."""
    old = page.read_text("utf-8")
    pattern = re.compile(f"({re.escape(BEGIN)}.*?-->\n).*?({re.escape(END)})", re.DOTALL)
    new, found = pattern.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", old)
    if not found:
        sys.exit(f"{page} has no marks to write between")
    page.write_text(new, "utf-8")


# -- measuring -------------------------------------------------------------------------------


def measure(options: Namespace) -> dict[str, Any]:
    """Count the tokens of a measurement and of a fit step, and measure both on this machine."""
    import fit_step
    import flop_count
    import peers
    from harness_corpora.domains import BUILT_IN

    from harness.data.places import DataStore

    model = peers.load("smollm2-135m", "cpu", "float32")
    costs = flop_count.costs(model.module)
    weights = costs.body + costs.head
    suites = peers.suites(["crows-pairs", "stereoset"], options.data_dir, None, 0)
    encoded = {
        name: [[model.encode(text) for text in group] for group in groups]
        for name, groups in suites.items()
    }
    tokens: dict[str, float] = {
        name: flop_count.tree(groups).nodes for name, groups in encoded.items()
    }
    (text,) = peers.suites(["wikitext2"], options.data_dir, None, 10**6)["wikitext2"][0]
    tokens["wikitext2"] = len(model.encode(text))

    rate = measuring.product_rate(2048)
    sample = [text for group in peers.spread(suites["crows-pairs"], 60) for text in group]
    nodes = flop_count.tree(peers.spread(encoded["crows-pairs"], 60)).nodes
    scoring = best(lambda: model.token_scores(sample), model.forget_scores)
    asked = Namespace(
        data_dir=options.data_dir,
        corpus="dghs",
        domain="gender",
        passages=100,
        model="smollm2-135m",
        device="cpu",
        steps=2,
    )
    step = fit_step.measure(asked)
    passages = fit_step.masked_passages(
        asked, DataStore(data_dir=options.data_dir, domains=BUILT_IN)
    )
    lengths = [len(model.encode(masked.passage.text)) for masked in passages]
    tokens["passage"] = round(sum(lengths) / len(lengths), 1)
    tokens["fit step"] = step["tokens_a_step"]["matter"]
    fitted = 6 * weights * tokens["fit step"] / step["cpu"]["step"]
    speed = max(rate().cpu for _ in range(3))
    return {
        "model": "SmolLM2-135M",
        "tokens": tokens,
        "machine": measuring.machine(),
        "measured": {
            "scoring": {
                "tokens_a_second": round(nodes / scoring, 1),
                "share": round(2 * weights * nodes / scoring / speed, 3),
            },
            "fitting": {
                "tokens_a_second": round(tokens["fit step"] / step["cpu"]["step"], 1),
                "share": round(fitted / speed, 3),
            },
            "product_gflop_a_cpu_second": round(speed / 1e9, 1),
        },
    }


def best(run: Any, reset: Any, times: int = 2) -> float:
    """Least CPU seconds of some runs."""
    import time

    found = []
    for _ in range(times):
        reset()
        started = time.process_time()
        run()
        found.append(time.process_time() - started)
    return min(found)


# -- the command -----------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """Options of the command: those of `Case`, and what to do."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in vars(Case()).items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(default, bool):
            made.add_argument(flag, action="store_true")
        elif name == "dtype":
            made.add_argument(flag, choices=list(BYTES), default=default)
        else:
            made.add_argument(flag, type=type(default), default=default, help=f"[{default:g}]")
    made.add_argument(
        "--gpu", help="A100, H100, or NAME=TFLOPS,GB,TB/S,DOLLARS of your own, for --dtype"
    )
    made.add_argument("--measure", action="store_true", help="count, measure and write cost.json")
    measuring.add_data_option(made)
    made.add_argument("--page", type=Path, help="rewrite the tables of this page")
    return made


def gpus(given: str | None, dtype: str) -> list[Gpu]:
    """The GPUs to show."""
    if given is None:
        return list(GPUS.values())
    name, _, own = given.partition("=")
    if not own:
        return [GPUS[name]]
    tflops, room, bandwidth, price = map(float, own.split(","))
    return [Gpu(name, {dtype: tflops}, room, bandwidth, price)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is asked."""
    options = parser().parse_args(arguments)
    if options.measure:
        FACTS.write_text(json.dumps(measure(options), indent=1) + "\n", "utf-8")
    facts = json.loads(FACTS.read_text("utf-8"))
    if options.page is not None:
        write_page(options.page, tables(facts))
        return
    case = Case(**{name: getattr(options, name) for name in vars(Case())})
    if case == Case() and options.gpu is None:
        print(tables(facts))
        return
    for gpu in gpus(options.gpu, case.dtype):
        found = cost(case, gpu, facts)
        print(f"{gpu.name}: {found.fits} fits, {found.measurements} measurements")
        print(f"  tokens   fit {found.fit_tokens:,.0f}, measure {found.measure_tokens:,.0f}")
        print(f"  PFLOP    fit {found.fit_flop / 1e15:,.0f}, ", end="")
        print(f"measure {found.measure_flop / 1e15:,.0f}")
        print(f"  memory   {memory(case) / 1e9:,.0f} GB without activations: {found.gpus} GPU(s)")
        print(f"  hours    {found.hours:,.2f} of a GPU, {found.load_hours:,.2f} of it loading")
        print(f"  dollars  {found.money:,.2f}")


if __name__ == "__main__":
    main()
