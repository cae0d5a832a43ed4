"""How much posterior mass the candidates of `infill-unlearning` leave out, on real passages.

    python benchmarks/infill_mass.py --data-dir DIR [--passages 100] [--counts 8 32 128] [--exact 3]
        [--exact-suffix 3]

For the first masked word of each hateful passage, the share of the posterior mass outside the
candidate set B is estimated from draws of P(. | p) outside B; see
`harness.lm.infill.tail_log_mass`. For ``--exact`` passages, every token of the vocabulary is
scored. Their masked word is one token. Their right contexts are the longest of at most
``--exact-suffix`` tokens, so that none is cut.
The table then shows the exact share among fillers of one token next to its estimate.

A result is added to ``--out`` as soon as it exists. A second call continues where the first one
ended, if its settings are the same. Progress goes to stderr, the table to stdout. An exact passage
scores its right context once for each token of the vocabulary. With the 49,152 tokens of
SmolLM2-135M and a right context of three, that takes about 15 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fit_step
import measuring
import numpy as np
import peers

DRAWS = 32
EXACT_AT_ONCE = 512
"""Tokens of the vocabulary that are scored before the progress is told and kept."""


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measuring.add_data_option(made)
    made.add_argument("--corpus", default="dghs", help="plugin that gives the passages")
    made.add_argument("--domain", default="gender")
    made.add_argument("--passages", type=int, default=100)
    made.add_argument("--counts", type=int, nargs="+", default=[8, 32, 128])
    made.add_argument("--exact", type=int, default=3, help="passages scored over the vocabulary")
    made.add_argument(
        "--exact-suffix", type=int, default=3, help="longest right context of an exact passage"
    )
    made.add_argument("--longest-suffix", type=int, default=12, help="tokens of the right context")
    made.add_argument("--model", default="smollm2-135m", help="or a folder or hub id")
    made.add_argument("--device", default="cpu")
    made.add_argument("--out", type=Path, default=Path("infill-mass.jsonl"), help="results")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then print the table."""
    options = parser().parse_args(arguments)
    settings = {
        name: getattr(options, name) for name in ("corpus", "domain", "longest_suffix", "model")
    }
    known = read(options.out, settings)
    measure(options, settings, known)
    show(known.values(), options)


def read(path: Path, settings: dict[str, Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the rows of earlier calls with the same settings, by what they are of."""
    rows = {}
    if path.exists():
        text = path.read_text("utf-8")
        if text and not text.endswith("\n"):  # a call was killed while it wrote the last line
            path.write_text(text[: text.rfind("\n") + 1], "utf-8")
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["settings"] == settings:
                rows[key_of(row)] = row
    return rows


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Name what a row is about."""
    return row["kind"], row["passage"], row.get("count"), row.get("begin")


def measure(
    options: argparse.Namespace,
    settings: dict[str, Any],
    known: dict[tuple[Any, ...], dict[str, Any]],
) -> None:
    """Measure what is missing: of the exact passages first, then the other estimates."""
    from harness_debiasers.infill_candidates import CandidateChooser

    from harness.data.places import DataStore
    from harness.lm.infill import (
        MarkedText,
        left_logprobs,
        log_sum_exp,
        outside_share,
        score_fillers,
        slots_of,
        tail_log_mass,
        with_right,
    )
    from harness.plugins import load_registry

    data = DataStore(data_dir=options.data_dir).knowing(load_registry().domains)
    masked = [answer for answer in fit_step.masked_passages(options, data) if answer.spans]
    model = peers.load(options.model, options.device, "float32")

    def keep(row: dict[str, Any]) -> None:
        row["settings"] = settings
        known[key_of(row)] = row
        with options.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def slot_of(answer: Any) -> Any:
        first = answer.spans[0]
        found = slots_of(model, [MarkedText(answer.passage.text, ((first.start, first.end),))])
        return with_right(found.slots[0], options.longest_suffix) if found.slots else None

    slots = {answer.passage.id: slot_of(answer) for answer in masked}
    slots = {name: slot for name, slot in slots.items() if slot is not None}
    choosers = {
        count: CandidateChooser(model, data.domains, ("group-words", "left-context"), count)
        for count in options.counts
    }
    short = [
        name
        for name, slot in slots.items()
        if len(slot.word) == 1 and 0 < len(slot.right) <= options.exact_suffix
    ]
    exact = sorted(short, key=lambda name: -len(slots[name].right))[: options.exact]
    if len(exact) < options.exact:
        print(
            f"only {len(exact)} passages have a masked word of one token and a right context of at "
            f"most {options.exact_suffix}",
            file=sys.stderr,
        )

    def estimate(names: Sequence[str]) -> None:
        wanted = [(name, count) for name in names for count in options.counts]
        missing = [pair for pair in wanted if ("estimate", *pair, None) not in known]
        started = time.monotonic()
        for done, (name, count) in enumerate(missing, start=1):
            slot = slots[name]
            fillers, tables = choosers[count].choose(model, [slot])
            (scores,) = score_fillers(model, [slot], fillers)
            rng = np.random.default_rng([count, *name.encode()])
            (tail,) = tail_log_mass(model, [slot], fillers, tables, DRAWS, rng)
            keep(
                {
                    "kind": "estimate",
                    "passage": name,
                    "count": count,
                    "outside": outside_share(scores, tail),
                    "candidates": len(fillers[0]),
                    "log_mass": log_sum_exp(scores.both),
                    "tokens_of_word": len(slot.word),
                    "fillers": [list(filler) for filler in fillers[0]],
                }
            )
            tell(done, len(missing), started, "estimates")

    def score_vocabulary() -> None:
        for number, name in enumerate(exact, start=1):
            slot = slots[name]
            (table,) = left_logprobs(model, [slot])
            parts = range(0, len(table), EXACT_AT_ONCE)
            missing_parts = [b for b in parts if ("part", name, None, b) not in known]
            started = time.monotonic()
            for done, begin in enumerate(missing_parts, start=1):
                tokens = range(begin, min(begin + EXACT_AT_ONCE, len(table)))
                (scores,) = score_fillers(model, [slot], [[(token,) for token in tokens]])
                keep(
                    {
                        "kind": "part",
                        "passage": name,
                        "begin": begin,
                        "vocabulary": len(table),
                        "scores": [round(float(score), 6) for score in scores.both],
                    }
                )
                what = f"vocabulary of passage {number} of {len(exact)}"
                tell(done, len(missing_parts), started, what)

    estimate(exact)
    score_vocabulary()
    estimate(list(slots))


def tell(done: int, total: int, started: float, what: str) -> None:
    """Say how far the work is, and how long the rest takes at this pace."""
    left = (time.monotonic() - started) / done * (total - done)
    print(f"{what}: {done} of {total}, about {left / 60:.0f} min left", file=sys.stderr, flush=True)


def exact_shares(
    rows: Sequence[dict[str, Any]],
) -> Iterator[tuple[str, int, float, float]]:
    """Yield passage, count, exact share outside, and estimated share of fully scored passages.

    Candidates of several tokens are left out of both sums, because the vocabulary has none.
    """
    scores: dict[str, dict[int, float]] = {}
    sizes = {row["passage"]: row["vocabulary"] for row in rows if row["kind"] == "part"}
    for row in rows:
        if row["kind"] == "part":
            own = scores.setdefault(row["passage"], {})
            own |= {row["begin"] + k: score for k, score in enumerate(row["scores"])}
    for row in rows:
        if row["kind"] != "estimate" or row["passage"] not in scores:
            continue
        known = scores[row["passage"]]
        if len(known) < sizes[row["passage"]]:
            continue
        values = np.array([known[token] for token in range(len(known))])
        masses = np.exp(values - values.max())
        inside = [filler[0] for filler in row["fillers"] if len(filler) == 1]
        share = 1.0 - masses[inside].sum() / masses.sum()
        yield row["passage"], row["count"], float(share), row["outside"]


def show(rows: Any, options: argparse.Namespace) -> None:
    """Print shares outside by number of candidates, and the exact ones beside their estimates."""
    rows = list(rows)
    table = []
    for count in options.counts:
        shares = np.array(
            [r["outside"] for r in rows if r["kind"] == "estimate" and r["count"] == count]
        )
        if len(shares):
            low, middle, high = np.quantile(shares, [0.25, 0.5, 0.75])
            table.append(
                (
                    str(count),
                    str(len(shares)),
                    f"{middle:.3f}",
                    f"{low:.3f} to {high:.3f}",
                    f"{100 * float((shares <= 0.05).mean()):.0f} %",
                )
            )
    measuring.print_table(
        "posterior mass outside the candidates",
        ("candidates", "passages", "median", "middle half", "at most 0.05"),
        table,
    )
    exact = [
        (name, str(count), f"{share:.3f}", f"{estimate:.3f}")
        for name, count, share, estimate in exact_shares(rows)
    ]
    if exact:
        measuring.print_table(
            "over the whole vocabulary", ("passage", "candidates", "exact", "estimate"), exact
        )


if __name__ == "__main__":
    main()
