"""The scoring engine against plain ways to score, and against what the machine can do at all.

    python benchmarks/scoring_speed.py --data-dir DIR [--suite NAME] [--limit N] [--rounds N]

Scores CrowS-Pairs (1,508 pairs), StereoSet dev intrasentence (2,106 triples) and windows of 1,024
tokens of WikiText-2 with one model in one run: with the harness (``token_scores``; the evaluator
of perplexity), in plain batches of 32 sentences of similar length through the whole model
(padding on the right), and one text at a time. ``--suite bbq`` scores the questions of BBQ with
each of their three answers, as the evaluator's protocol ``choice_sum`` asks for them; it is no part
of the default. Ways take turns, each in a process of its own that
sleeps while others work; a time is from strings to numbers, tokenisation included, loading and a
first small call excluded.

Prints, for each way, how many times as long it takes as the harness, and **time over the limit**:
its time divided by that of the floating-point operations that cannot be avoided
(`flop_count.py`) at the rate of the machine's own large fp32 product, measured before and after
each way (median time, best rate). The ``CPU`` columns say the same of CPU time, of all threads
together: that is the one to read while others use the machine too, and best with
OMP_NUM_THREADS=1, as threads that wait for each other use CPU time.

Ends with exit code 1 if a text's mean score differs by more than 1e-4 nats a token between the
harness and one text at a time (fp32), or if ``--check`` is given and a goal is missed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import measuring
import numpy as np
import peers

BOUND = 1e-4
"""Nats a token."""

SUITES = ("crows-pairs", "stereoset", "wikitext2")
"""What is measured unless suites are named."""

GOALS = {
    "cpu": {
        ("crows-pairs", "over_limit"): 1.25,
        ("stereoset", "over_limit"): 1.25,
        ("wikitext2", "over_limit"): 1.25,
        ("stereoset", "plain"): 2.2,
        ("bbq", "plain"): 2.5,
        ("crows-pairs", "alone"): 4.0,
        ("stereoset", "alone"): 7.0,
    },
    "cuda": {  # 60 % of the machine's rate
        ("crows-pairs", "over_limit"): 1 / 0.6,
        ("stereoset", "over_limit"): 1 / 0.6,
        ("wikitext2", "over_limit"): 1 / 0.6,
        ("crows-pairs", "plain"): 3.0,
        ("stereoset", "plain"): 3.0,
    },
}
"""By kind of device: at most so many times the limit; at least so many times as fast as a way."""


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measuring.add_data_option(made)
    made.add_argument("--suite", action="append", choices=[*SUITES, "bbq"])
    made.add_argument("--model", default="smollm2-135m", help="or a folder or hub id")
    made.add_argument("--limit", type=int, help="groups a suite, spread over it; default: all")
    made.add_argument("--windows", type=int, default=32, help="windows of WikiText-2")
    made.add_argument("--rounds", type=int, default=3, help="how often each way runs")
    made.add_argument(
        "--alone-rounds", type=int, default=1, help="how often one text at a time runs, the slowest"
    )
    made.add_argument("--device", default="cpu")
    made.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    made.add_argument("--product", type=int, default=4096, help="rows of the machine's product")
    made.add_argument("--check", action="store_true", help="fail if a goal is missed")
    made.add_argument(
        "--one-process", action="store_true", help="no worker processes, and no peak memory"
    )
    measuring.add_history_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep, and fail if the scores differ."""
    options = parser().parse_args(arguments)
    names = options.suite or list(SUITES)
    groups = peers.suites(names, options.data_dir, options.limit, options.windows)
    task = peers.Task(options.model, options.device, options.dtype, groups, most=options.windows)
    make: Any = peers.Bench if options.one_process else peers.Worker
    methods = peers.METHODS if options.alone_rounds else peers.METHODS[:-1]
    ways: dict[str, Any] = {}
    for method in methods:
        if method != "plain" or set(names) != {"wikitext2"}:
            suited = {s: g for s, g in groups.items() if method in ways_of(s)}
            ways[method] = make(method, task._replace(groups=suited))
    rate = measuring.product_rate(options.product, options.device, options.dtype)
    failures = []
    for suite in names:
        figures = measure(suite, ways, rate, options)
        show(suite, figures, options)
        settings = {
            "model": options.model,
            "dtype": options.dtype,
            "device": options.device,
            "limit": options.limit,
            "windows": options.windows if suite == "wikitext2" else None,
            "rounds": options.rounds,
            "product": options.product,
        }
        case = " ".join((suite, options.device, options.dtype))
        if options.limit is not None and suite != "wikitext2":
            case += f" limit {options.limit}"  # beside the whole suite, not in its place
        measuring.add_to_history(
            options, "scoring_speed", case, settings, figures, device=options.device
        )
        failures += missed(suite, figures, options)
    if not options.one_process:
        for way in ways.values():
            way.close()
    if failures:
        sys.exit("; ".join(failures))


def ways_of(suite: str) -> tuple[str, ...]:
    """The ways in which a suite is scored, the harness first."""
    return tuple(peers.WINDOW_WAYS if suite == "wikitext2" else peers.WAYS)


def measure(
    suite: str, ways: dict[str, Any], rate: Any, options: argparse.Namespace
) -> dict[str, Any]:
    """Times, rates, memory and agreement of all ways on a suite."""
    own = [name for name in ways_of(suite) if name in ways]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in own}
    peaks: dict[str, tuple[float, float]] = {}
    size = ways["harness"].limit(suite)
    rates = [rate()]
    for number in range(options.rounds):
        for name in own:
            if name == "alone" and number >= options.alone_rounds:
                continue
            if not options.one_process:
                ways[name].forget_peak()
            times[name].append(ways[name].run(suite))
            rates.append(rate())
            if not options.one_process:
                peaks[name] = ways[name].memory()
            wall, cpu = times[name][-1]
            print(f"{suite}: {name} {wall:.1f} s ({cpu:.1f} CPU)", file=sys.stderr, flush=True)
    scores = {name: ways[name].scores(suite) for name in own}
    figures: dict[str, Any] = dict(size)
    for k, clock in enumerate(("wall", "cpu")):
        seconds = {name: [round(t[k], 3) for t in own_times] for name, own_times in times.items()}
        medians = {name: statistics.median(s) for name, s in seconds.items()}
        best = max(r[k] for r in rates)
        figures[clock] = {
            "seconds": seconds,
            "gflop_a_second": [round(r[k] / 1e9, 1) for r in rates],
            "over_limit": {name: round(medians[name] * best / size["flop"], 3) for name in own},
            "times_the_harness": {
                name: round(medians[name] / medians["harness"], 3) for name in own[1:]
            },
        }
    figures["memory_mib"] = {
        name: {"after": round(now), "peak": round(peak)} for name, (now, peak) in peaks.items()
    }
    figures["difference"] = {
        name: agreement(scores["harness"], scores[name]) for name in own if name != "harness"
    }
    return figures


def agreement(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> dict[str, float]:
    """Largest difference of a text's mean score, and of a single token's, in nats a token."""
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if len(a)]
    return {
        "text": max(abs(float(a.mean() - b.mean())) for a, b in pairs),
        "token": max(float(np.abs(a - b).max()) for a, b in pairs),
    }


def show(suite: str, figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Print a suite's table."""
    rows = []
    wall, cpu = figures["wall"], figures["cpu"]
    for name, seconds in wall["seconds"].items():
        memory = figures["memory_mib"].get(name)
        differs = figures["difference"].get(name)
        rows.append(
            (
                name,
                measuring.spread(seconds),
                f"{wall['times_the_harness'].get(name, 1.0):.2f}",
                f"{wall['over_limit'][name]:.2f}",
                f"{cpu['times_the_harness'].get(name, 1.0):.2f}",
                f"{cpu['over_limit'][name]:.2f}",
                f"{memory['peak']} of which {memory['after']}" if memory else "-",
                f"{differs['text']:.1e}" if differs else "-",
                f"{differs['token']:.1e}" if differs else "-",
            )
        )
    rates = wall["gflop_a_second"]
    measuring.print_table(
        f"{suite}, {options.model}, {options.dtype} on {options.device}: {figures['groups']} "
        f"groups, {figures['tokens']} tokens, {figures['nodes']} to be run, "
        f"{figures['flop'] / 1e12:.2f} TFLOP; the machine's product: {max(rates):.0f} GFLOP/s "
        f"({min(rates):.0f} to {max(rates):.0f})",
        (
            "way",
            "seconds",
            "x harness",
            "x limit",
            "x harness, CPU",
            "x limit, CPU",
            "peak MiB, of which after",
            "text differs",
            "token differs",
        ),
        rows,
    )


def missed(suite: str, figures: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """What is wrong with the figures, in words."""
    found = []
    differs = figures["difference"].get("alone")
    if options.dtype == "float32" and differs and differs["text"] > BOUND:
        found.append(f"{suite}: scores differ by {differs['text']:.1e} nats a token")
    if options.check:
        goals = GOALS.get(options.device.partition(":")[0], {})
        limit = figures["wall"]["over_limit"]["harness"]
        if limit > (most := goals.get((suite, "over_limit"), math.inf)):
            found.append(f"{suite}: {limit:.2f} times the limit, not {most:.2f}")
        for name, ratio in figures["wall"]["times_the_harness"].items():
            if ratio < (least := goals.get((suite, name), 0.0)):
                found.append(f"{suite}: {ratio:.2f} times as fast as '{name}', not {least:g}")
    return found


if __name__ == "__main__":
    main()
