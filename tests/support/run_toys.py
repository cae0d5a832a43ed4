"""Runs small specs, each in a forked process that can be killed, for test_kill.py.

Reads commands from its input, one a line, and answers each with one line; forking spares every
run the seconds of importing.

``start FOLDER KIND PAUSE FAULT``: start a run; answers ``pid N``. KIND: ``toy``, or ``tiny`` for a
real model of width 32 whose checkpoints are kept. A run gives a *beat* at everything that it does
(a step of a fit, an evaluation, a sync, a renaming) and sleeps PAUSE seconds after it. FAULT:
``none``; ``die@N``: SIGKILL at the N-th sync; ``full@N``: the disk is full from the N-th sync on;
``limit@B``: no file may grow beyond B bytes once two results are stored.

``kill PID BEATS DELAY``: wait for so many beats and DELAY seconds, then SIGKILL; if the run ends
before, it is not killed. ``wait PID``: wait for its end. Both answer ``end KILLED BEATS TEXT``:
whether it was killed, how many beats it gave, and what it said.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401  (what a fit imports, once, before the forks)
import transformers.models.gpt2.modeling_gpt2  # noqa: F401
from toy_plugins import TOY_SPEC, ToyDebiaser, ToyEvaluator, ToyModel, toy_registry

import harness.lm.loading.loading
import harness.lm.saving.checkpoint
import harness.lm.transformers_model
import harness.running.seeding
from harness.data.places import DataStore
from harness.errors import HarnessError
from harness.plugins import Registry, load_registry
from harness.running.experiment import Experiment
from harness.running.provenance import provenance
from harness.running.reporting import Reporter

TINY_SPEC: dict[str, Any] = {
    "name": "tiny",
    "corpus": "embedded",
    "source": "gender",
    "masker": "wordlist",
    "debiaser": [{"use": "mlm-unlearning", "learning_rate": 0.01}, "identity"],
    "evaluators": ["embedded-pairs", "corpus-perplexity"],
    "steps": [2, 4],
    "limits": {"items": 4, "passages": 8, "unseen": 4},
    "keep_checkpoints": True,
}


class Child:
    """Everything that happens in a run, one beat each."""

    def __init__(self, pipe: int, pause: float, fault: str) -> None:
        self._pipe = pipe
        self._pause = pause
        self._fault, _, number = fault.partition("@")
        self._at = int(number or 0)
        self._syncs = 0

    def beat(self) -> None:
        os.write(self._pipe, b".")
        time.sleep(self._pause)

    def beating(self, call: Any) -> Any:
        """The same call with a beat before and after it."""

        def called(*args: Any, **options: Any) -> Any:
            self.beat()
            answer = call(*args, **options)
            self.beat()
            return answer

        return called

    def syncing(self, fsync: Any) -> Any:
        def called(descriptor: int) -> None:
            self._syncs += 1
            if self._fault == "die" and self._syncs == self._at:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._fault == "full" and self._syncs >= self._at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        return called

    def reporter(self) -> Reporter:
        if self._fault != "limit":
            return Reporter()
        limit, left = self._at, [2]

        class Filling(Reporter):
            def measured(self, evaluator: str, title: str, seconds: float) -> None:
                left[0] -= 1
                if not left[0]:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return Filling()

    def listen(self) -> None:
        """Put beats wherever something happens."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        def evaluated(self: Any, *args: Any, **options: Any) -> None:
            beat()

        beat = self.beat
        ToyEvaluator.evaluate = self.beating(ToyEvaluator.evaluate)  # type: ignore[method-assign]
        ToyModel.token_scores = self.beating(ToyModel.token_scores)  # type: ignore[method-assign]
        os.fsync = self.beating(self.syncing(os.fsync))
        os.rename = self.beating(os.rename)
        os.replace = self.beating(os.replace)
        save = harness.lm.saving.checkpoint.save_checkpoint
        harness.lm.saving.checkpoint.save_checkpoint = self.beating(save)
        register_optimizer_step_post_hook(evaluated)


def run(folder: Path, kind: str, child: Child, registries: dict[str, Registry]) -> str:
    """Carry out the spec; a word for each of reused, measured and failed, or the error."""
    child.listen()
    data = DataStore(cache_dir=folder / "cache", offline=True)
    registry = registries[kind]
    model = {"use": "hf", "id": str(folder.parent / "model"), "as": "tiny"}
    raw = TOY_SPEC if kind == "toy" else {**TINY_SPEC, "model": model}
    try:
        experiment = Experiment.from_mapping(
            raw, registry=registry, data=data, folder=folder / "run"
        )
        outcome = experiment.run(reporter=child.reporter())
    except HarnessError as error:
        return f"{type(error).__name__}: {error}"
    return f"{outcome.reused} {outcome.measured} {len(outcome.failures)}"


class Server:
    """Starts, kills and awaits runs."""

    def __init__(self) -> None:
        self._registries = {"toy": toy_registry(), "tiny": load_registry(strict=True)}
        self._pipes: dict[int, int] = {}

    def start(self, folder: str, kind: str, pause: str, fault: str) -> str:
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            child = Child(writing, float(pause), fault)
            answer = run(Path(folder), kind, child, self._registries)
            os.write(writing, b"=" + answer.encode())
            os._exit(0)
        os.close(writing)
        self._pipes[pid] = reading
        return f"pid {pid}"

    def kill(self, pid: str, beats: str, delay: str) -> str:
        heard = self._listen(int(pid), int(beats))
        if heard.count(b".") == int(beats):
            time.sleep(float(delay))
            os.kill(int(pid), signal.SIGKILL)  # it cannot be another's: it is not reaped yet
        return self._end(int(pid), heard)

    def wait(self, pid: str) -> str:
        return self._end(int(pid), b"")

    def _listen(self, pid: int, beats: int) -> bytes:
        heard = b""
        while heard.count(b".") < beats and (byte := os.read(self._pipes[pid], 1)):
            heard += byte
        return heard

    def _end(self, pid: int, heard: bytes) -> str:
        with os.fdopen(self._pipes.pop(pid), "rb") as stream:
            heard += stream.read()
        _, status = os.waitpid(pid, 0)
        beats, _, said = heard.partition(b"=")
        return f"end {int(os.WIFSIGNALED(status))} {len(beats)} {said.decode()}"


def main() -> None:
    """Serve until the input ends."""
    server = Server()
    provenance("cpu", [])  # git is asked once, not once a run
    assert ToyDebiaser.interrupt_at is None
    print("ready", flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        print(getattr(server, command)(*words), flush=True)


if __name__ == "__main__":
    main()
