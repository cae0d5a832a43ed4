"""How long the word-list maskers take on one long passage.

    python benchmarks/masking_speed.py [--bytes 1000000] [--check SECONDS]

CPU seconds of `wordlist` (both rules) and of `random` matched in frequency, on a passage of plain
sentences and on one in which every word is masked. The time should be proportional to the length
of the passage. With --check the exit code is 1 if one of them takes longer.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import measuring
from harness_corpora.domains import BUILT_IN
from harness_maskers.controls import RandomConfig, RandomWords
from harness_maskers.wordlist import Wordlist, WordlistConfig

from harness.data.places import DataStore
from harness.families import Masker
from harness.types import MaskRequest, Passage, no_progress

SENTENCES = {
    "plain": "the women at the old harbour would not wait for the ferry, so the men left alone ",
    "all masked": "women ",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=int, default=1_000_000, help="length of the passage")
    parser.add_argument("--check", type=float, metavar="SECONDS")
    measuring.add_history_options(parser)
    args = parser.parse_args()
    both = WordlistConfig.model_validate({"rules": "both"})
    maskers: dict[str, Masker[Any]] = {
        "wordlist": Wordlist(both),
        "random": RandomWords(RandomConfig(like=both, match="frequency")),
    }
    rows = []
    for text, sentence in SENTENCES.items():
        for name, masker in maskers.items():
            seconds, spans = measure(masker, sentence * (args.bytes // len(sentence)))
            rows.append((f"{name}, {text}", spans, f"{seconds:.2f}"))
            measuring.add_to_history(
                args,
                "masking_speed",
                f"{name}, {text}",
                {"bytes": args.bytes},
                {"cpu": {"seconds": [round(seconds, 3)]}, "spans": spans},
            )
    measuring.print_table(f"A passage of {args.bytes} bytes", ("masker", "masks", "CPU s"), rows)
    if args.check is not None and max(float(row[2]) for row in rows) > args.check:
        sys.exit(1)


def measure(masker: Masker[Any], text: str) -> tuple[float, int]:
    """CPU seconds that a masker takes, and how many spans it finds."""
    passage = Passage(id="p", text=text, domain="gender", label="hateful", split="train")
    request = MaskRequest(
        passages=(passage,),
        domain="gender",
        data=DataStore(offline=True, domains=BUILT_IN),
        progress=no_progress,
    )
    began = time.process_time()
    (answer,) = masker.mask(request)
    return time.process_time() - began, len(answer.spans)


if __name__ == "__main__":
    main()
