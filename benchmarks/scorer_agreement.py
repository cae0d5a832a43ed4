"""Batched scores against one sentence at a time, on CrowS-Pairs and StereoSet dev.

    python benchmarks/scorer_agreement.py --data-dir ../shared/data [--limit N]

Scores every sentence twice with SmolLM2-135M in fp32: through the harness, and alone through the
whole model with an independent log-softmax. Writes to results/scorer-agreement/summary.json: the
largest difference of a sentence's score in nats a token (the bound is 1e-4), the largest of a
single token, each token beyond the bound beside its score in fp64, the item decisions that
differ, and the ties.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path

import measuring
import numpy as np
import torch
from harness_evaluators import crows_pairs, stereoset
from harness_models.smollm2 import SmolLM2
from rich.progress import track

from harness.data.places import DataStore
from harness.lm.handle import LanguageModel
from harness.types import LoadRequest

OUT = Path(__file__).resolve().parent.parent / "results" / "scorer-agreement"


BOUND = 1e-4
"""Nats a token."""


def alone(model: LanguageModel, text: str, module: torch.nn.Module | None = None) -> np.ndarray:
    """Log-probabilities of tokens 2..n of one sentence, through the whole model."""
    ids = torch.tensor([model.encode(text)])
    with torch.inference_mode():
        logits = (module or model.module)(input_ids=ids).logits[0, :-1]
    table = torch.log_softmax(logits, dim=-1)
    return table.gather(-1, ids[0, 1:, None])[:, 0].double().numpy()


def beyond(
    model: LanguageModel,
    texts: list[str],
    batched: list[np.ndarray],
    singly: list[np.ndarray],
) -> list[dict[str, float]]:
    """Tokens whose scores differ by more than the bound, with their score in fp64."""
    exact = copy.deepcopy(model.module).double()
    found = []
    for number, (text, b, s) in enumerate(zip(texts, batched, singly, strict=True)):
        far = np.flatnonzero(np.abs(b - s) > BOUND)
        if len(far):
            truth = alone(model, text, exact)
            found += [
                {
                    "sentence": number,
                    "token": int(k) + 1,
                    "batched": round(float(b[k]), 6),
                    "alone": round(float(s[k]), 6),
                    "fp64": round(float(truth[k]), 6),
                }
                for k in far
            ]
    return found


def compare(model: LanguageModel, name: str, groups: list[tuple[str, ...]]) -> dict[str, object]:
    """Compare all sentences of a suite, and the decisions between those of a group."""
    texts = [text for group in groups for text in group]
    started = time.perf_counter()
    batched = model.token_scores(texts)
    batched_s = time.perf_counter() - started
    started = time.perf_counter()
    singly = [alone(model, text) for text in track(texts, description=name)]
    single_s = time.perf_counter() - started
    scores = [b.logprobs[1:] for b in batched]
    means_b = [float(b.mean()) for b in scores]
    means_s = [float(s.mean()) for s in singly]
    mean_b, mean_s = iter(means_b), iter(means_s)
    differing: list[dict[str, object]] = []
    ties: list[int] = []
    for number, group in enumerate(groups):
        b = [next(mean_b) for _ in group]
        s = [next(mean_s) for _ in group]
        for i in range(len(group)):
            for j in range(i + 1, len(group)):
                if (b[i] > b[j]) != (s[i] > s[j]):
                    differing.append({"item": number, "gap": abs(s[i] - s[j])})
                if s[i] == s[j]:
                    ties.append(number)
    return {
        "items": len(groups),
        "sentences": len(texts),
        "tokens": sum(len(b.ids) for b in batched),
        "largest_difference_nats_a_token": max(
            abs(b - s) for b, s in zip(means_b, means_s, strict=True)
        ),
        "largest_difference_of_one_token": max(
            float(np.abs(b - s).max()) for b, s in zip(scores, singly, strict=True)
        ),
        "tokens_beyond_the_bound": beyond(model, texts, scores, singly),
        "decisions_that_differ": differing,
        "ties": ties,
        "seconds_batched": round(batched_s, 1),
        "seconds_one_at_a_time": round(single_s, 1),
        "ratio": round(single_s / batched_s, 2),
    }


def main() -> None:
    """Parse the arguments, compare, write, and fail if a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    measuring.add_data_option(parser)
    parser.add_argument("--limit", type=int, help="items a suite")
    options = parser.parse_args()
    data = DataStore(data_dir=options.data_dir)
    model = SmolLM2(SmolLM2.Config()).load(LoadRequest(cache_dir=data.cache_dir / "models"))
    suites = {
        "crows-pairs": [row[1:3] for row in crows_pairs.parse(data.locate(crows_pairs.PIN))],
        "stereoset": [row[4:7] for row in stereoset.parse(data.locate(stereoset.PIN))],
    }
    summary = {
        name: compare(model, name, groups[: options.limit]) for name, groups in suites.items()
    }
    text = json.dumps({"model": model.name, "dtype": "float32", "suites": summary}, indent=1)
    print(text)
    if options.limit is None:
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / "summary.json").write_text(text + "\n", encoding="utf-8")
    worst = max(float(str(s["largest_difference_nats_a_token"])) for s in summary.values())
    if worst > BOUND:
        raise SystemExit(f"largest difference {worst} is over {BOUND} nats a token")


if __name__ == "__main__":
    main()
