"""A small file of neutral text for the corpus ``file``."""

from __future__ import annotations

import csv
from pathlib import Path


def neutral_csv(folder: Path) -> Path:
    """Write 18 sentences, some with words of a group, into ``neutral.csv``; return the path."""
    path = folder / "neutral.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text"])
        for who in ("the man", "his father", "the woman", "her mother", "a farm", "the shop"):
            rows.writerows([f"{who} sold {what} in town."] for what in ("bread", "rope", "salt"))
    return path
