"""Weights and activations lie in large pages, where the kernel has any."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.lm.memory import HUGE_PAGES
from harness.tiny_models import save_tiny_model

LOADS = """
import sys
from pathlib import Path
import harness.lm.loading as loading
loading.load_transformers(sys.argv[1], kind="causal")
import torch
kept = torch.ones(1 << 24)
regions = Path("/proc/self/smaps").read_text().split("VmFlags:")
print(sum(" hg " in region.splitlines()[0] + " " for region in regions[1:]))
"""


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="a kernel without huge pages"
)
@pytest.mark.parametrize("asked", [None, "0"])
def test_loading_a_model_asks_for_large_pages_unless_told_not_to(
    asked: str | None, tmp_path: Path
) -> None:
    save_tiny_model(tmp_path / "model")
    named = {k: v for k, v in os.environ.items() if k != HUGE_PAGES}
    found = subprocess.run(
        [sys.executable, "-c", LOADS, str(tmp_path / "model")],
        env=named | ({HUGE_PAGES: asked} if asked else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(found.stdout) > 0) is (asked is None)
