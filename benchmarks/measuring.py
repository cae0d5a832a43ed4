"""What the speed benchmarks share: who measured where, peak memory, the history, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

HISTORY = Path(__file__).with_name("history.jsonl")
"""One line a measurement, the newest last; `page.py` writes docs/speed.md from it."""


def add_history_options(parser: argparse.ArgumentParser) -> None:
    """``--history`` and ``--note``, the same in every benchmark."""
    parser.add_argument(
        "--history",
        type=Path,
        default=HISTORY,
        help="file to which the figures are added (default: history.jsonl beside this script)",
    )
    parser.add_argument("--no-history", action="store_true", help="only print")
    parser.add_argument("--note", default="", help="a remark to keep with the figures")


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """``--data-dir``, as the harness's own commands understand it."""
    named = os.environ.get("HARNESS_DATA")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(named) if named else None,
        help="default: HARNESS_DATA, then the user cache",
    )


def machine(device: str = "cpu") -> dict[str, Any]:
    """The machine, the software and how busy the machine is, as plain data."""
    import torch

    from harness.running.provenance import provenance

    known = provenance(device, ())
    facts: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
        "torch": known.packages.get("torch"),
        "transformers": known.packages.get("transformers"),
        "python": known.python,
        "commit": known.commit,
        "dirty": known.dirty,
    }
    if torch.device(device).type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(torch.device(device))
    return facts


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def add_to_history(
    options: argparse.Namespace,
    benchmark: str,
    case: str,
    settings: Mapping[str, Any],
    figures: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Add a line to the history, unless ``--no-history`` was given.

    Args:
        options: as parsed, with the options of `add_history_options`.
        benchmark: name of the script.
        case: what of it was measured; the page shows the newest line of a benchmark's case.
        settings: what was asked for.
        figures: what was found.
        device: torch device.
    """
    if options.no_history:
        return
    line = {
        "benchmark": benchmark,
        "case": case,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(device),
        "settings": dict(settings),
        "figures": dict(figures),
        "note": options.note,
    }
    with options.history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class Used(NamedTuple):
    """What a command used: seconds, resident memory, and its exit code."""

    wall: float
    cpu: float
    peak_mib: float
    code: int


def run_command(words: Sequence[str], environment: Mapping[str, str]) -> Used:
    """Run a command of the harness in a process of its own.

    On Linux the peak of a process begins with that of the one that started it, so call this
    before anything large is imported.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *words], stdout=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    cpu = usage.ru_utime + usage.ru_stime
    return Used(wall, cpu, usage.ru_maxrss / 1024, process.returncode)


def as_installed(folder: Path) -> dict[str, str]:
    """An environment in which the harness starts as an installed one: its byte code is there.

    Args:
        folder: where the byte code is kept.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder)
    root = Path(__file__).resolve().parent.parent
    command = [
        sys.executable,
        "-m",
        "compileall",
        "-q",
        str(root / "harness"),
        str(root / "plugins"),
    ]
    subprocess.run(command, check=True, env=environment)
    return environment


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with aligned columns, the first to the left and the others to the right."""
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    print(f"\n{title}")
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  " + "  ".join(cells))


def spread(times: Sequence[float]) -> str:
    """Median with the smallest and the largest: ``1.20 (1.15-1.31)``."""
    if len(times) == 1:
        return f"{times[0]:.2f}"
    return f"{statistics.median(times):.2f} ({min(times):.2f}-{max(times):.2f})"


# -- memory ----------------------------------------------------------------------------------


class Memory(NamedTuple):
    """Resident memory of this process in MiB: now, and the most since `forget_peak`."""

    now: float
    peak: float


def memory() -> Memory:
    """Read this process's resident memory (Linux)."""
    found = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = int(value.split()[0]) / 1024
    return Memory(found["VmRSS"], found["VmHWM"])


def forget_peak() -> None:
    """Start a new peak: what loading the model took is not what scoring takes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


# -- the machine's own rate ------------------------------------------------------------------


class Rate(NamedTuple):
    """FLOP a second of the clock, and a second of this process's CPU time (all threads)."""

    wall: float
    cpu: float


def product_rate(
    size: int, device: str = "cpu", dtype: str = "float32", times: int = 3
) -> Callable[[], Rate]:
    """Make a measure of the machine's rate: best of some square products.

    A product of ``size`` x ``size`` matrices is ``2 size^3`` floating-point operations. On CUDA
    fp32 means fp32: TF32 stays off, as in the models.
    """
    import torch

    a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    out = torch.empty_like(a)

    def once() -> tuple[float, float]:
        if a.is_cuda:
            torch.cuda.synchronize(a.device)
        started, used = time.perf_counter(), time.process_time()
        torch.mm(a, b, out=out)
        if a.is_cuda:
            torch.cuda.synchronize(a.device)
        return time.perf_counter() - started, time.process_time() - used

    def rate() -> Rate:
        found = [once() for _ in range(times)]
        work = 2 * size**3
        return Rate(work / min(wall for wall, _ in found), work / min(cpu for _, cpu in found))

    once()  # the first one also starts threads
    return rate
