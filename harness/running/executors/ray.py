"""Executor that runs the units of a plan on a Ray cluster, of one machine or of many.

The driver prepares each unit, sends it with what it reads, and yields its results as workers
stream them back. A unit whose worker is lost goes out again for the tasks that have no result
yet. Nothing is shared but the cluster: no folder, no home.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import DebiasError, PluginError, ServiceError, SpecError, StoreError
from harness.plugins import Registry, load_registry
from harness.running.executors import remote_worker as remote
from harness.running.executors.manifest import manifest
from harness.running.units import Event, Failed, Inputs, Job, Kept, Measured, Note, Unit
from harness.running.worker import failures

AHEAD = 16
"""Units that are queued in the cluster at least, so that a cluster that can grow does."""

UNREAD = 8
"""Unread results after which a worker pauses, which bounds the memory that they take."""

ANSWERS_WITHIN = 10.0
"""Connection timeout in seconds."""

LOST = {
    "NodeDiedError": "its node is gone",
    "WorkerCrashedError": "its process died",
    "OutOfMemoryError": "its node ran out of memory",
    "ObjectLostError": "its node is gone",
    "OwnerDiedError": "its process died",
}
"""What Ray's errors mean for a unit."""


@dataclass(frozen=True)
class Needs:
    """What one unit takes of the cluster, and how often it is tried.

    Attributes:
        cpus: cores, and threads of the arithmetic.
        gpus: a share of one, or several; None: one where the spec's device is a GPU.
        retries: how often a unit is tried again after its worker was lost.
    """

    cpus: float = 1
    gpus: float | None = None
    retries: int = 3


@dataclass(eq=False)
class _Sent:
    """A unit that the cluster has."""

    unit: Unit
    inputs: Any
    stream: Any = None
    done: set[str] = field(default_factory=set)
    lost: int = 0


class RayExecutor:
    """See the module's first lines.

    Args:
        address: of a running cluster, ``auto`` for the one this machine is part of, or ``local``
            for one of this machine's own cores and GPUs that ends with the run.
        needs: of a unit.
        registry: builds a worker's plugins; a function that workers can import.
    """

    def __init__(
        self,
        address: str = "local",
        needs: Needs | None = None,
        registry: Callable[[], Registry] = load_registry,
    ) -> None:
        self._address = address
        self._needs = needs or Needs()
        self._registry = registry

    def execute(self, job: Job) -> Iterator[Event]:
        """Yield results in the order of their coming; see `harness.running.executors.Executor`.

        Raises:
            SpecError: the options cannot be used.
            ServiceError: there is no Ray, or no such cluster.
            PluginError: a worker has not the driver's plugins.
        """
        ray = _import_ray()
        started = not ray.is_initialized()
        if started:
            _connect(ray, self._address)
        try:
            alone = started and self._address == "local"
            yield from _Driver(ray, job, self._needs, self._registry, alone).events()
        finally:
            if started:
                ray.shutdown()


def make(settings: Mapping[str, Any]) -> RayExecutor:
    """Make the executor from the options of a command."""
    needs = Needs(
        cpus=settings.get("cpus_per_task", 1),
        gpus=settings.get("gpus_per_task"),
        retries=settings.get("retries", 3),
    )
    address = settings.get("ray_address") or os.environ.get("RAY_ADDRESS") or "local"
    return RayExecutor(address, needs)


class _Driver:
    """One run on one cluster; ``alone``: it is this machine, and will not grow."""

    def __init__(
        self, ray: Any, job: Job, needs: Needs, registry: Callable[[], Registry], alone: bool
    ) -> None:
        self._ray = ray
        self._alone = alone
        self._job = job
        self._retries = needs.retries
        self._cpus = needs.cpus
        self._gpus = _gpus(ray, job.spec.device, needs.gpus)
        self._task = ray.remote(
            num_cpus=needs.cpus,
            num_gpus=self._gpus,
            max_retries=0,  # Ray would do all of a unit again; we know what is left of it
            num_returns="streaming",
            _generator_backpressure_num_objects=UNREAD,
        )(_work)
        self._run = ray.put(manifest(job, registry, ray.put, here=alone))
        self._sent: list[_Sent] = []
        self._said: set[str] = set()
        self._ended = 0

    def events(self) -> Iterator[Event]:
        waiting = list(reversed(self._job.units))
        if waiting:
            yield from self._warnings()
        try:
            while waiting or self._sent:
                if waiting and len(self._sent) < max(AHEAD, 2 * self._slots()):
                    yield from self._send_first(waiting.pop())
                    yield from self._receive(wait=0.0)
                else:
                    yield from self._receive(wait=1.0)
        finally:
            for sent in self._sent:  # on Ctrl-C and a full disk: whatever runs ends now
                self._ray.cancel(sent.stream, force=True)

    def _send_first(self, unit: Unit) -> Iterator[Event]:
        try:
            if unit.problem is not None:
                raise DebiasError(unit.problem)
            inputs = self._job.prepare(unit)
        except StoreError:
            raise
        except Exception as error:  # one unit's failure, whatever it is, must not cost the others
            yield from failures(unit, unit.tasks, error)
            self._ended += 1
            return
        sent = _Sent(unit, self._ray.put(inputs))
        self._send(sent)
        self._sent.append(sent)
        self._show()

    def _send(self, sent: _Sent) -> None:
        sent.stream = self._task.remote(sent.unit.without(sent.done), sent.inputs, self._run)

    def _show(self) -> None:
        units = len(self._job.units)
        self._job.reporter.phase(f"{len(self._sent)} units on the cluster")
        self._job.reporter.progress(self._ended, units, "of the units done")

    def _receive(self, wait: float) -> Iterator[Event]:
        """Take what has come; wait for the first of it, at most some seconds."""
        streams = {sent.stream: sent for sent in self._sent}
        ready, _ = self._ray.wait(list(streams), num_returns=len(streams), timeout=0)
        if not ready and wait and streams:
            ready, _ = self._ray.wait(list(streams), num_returns=1, timeout=wait)
        for stream in ready:
            yield from self._next(streams[stream])

    def _next(self, sent: _Sent) -> Iterator[Event]:
        errors = self._ray.exceptions
        try:
            message = self._ray.get(next(sent.stream))
        except StopIteration:
            self._end(sent)
            return
        except errors.RayTaskError as error:
            raise _bug(error) from error
        except errors.RayError as error:
            yield from self._lost(sent, error)
            return
        yield from self._take(sent, message)

    def _take(self, sent: _Sent, message: remote.Message) -> Iterator[Event]:
        if isinstance(message, remote.Refused):
            raise message.error
        if isinstance(message, remote.Piece):
            self._write(sent, message)
            return
        if isinstance(message, Kept):
            yield replace(message, folder=self._folder(sent, message.folder.name))
            return
        if isinstance(message, Note):
            if message.message not in self._said:  # a machine says it once a unit
                self._said.add(message.message)
                yield message
            return
        if isinstance(message, Measured):
            sent.done.add(message.record.key)
        elif isinstance(message, Failed):
            sent.done.add(message.failure.key)
        yield message

    def _end(self, sent: _Sent) -> None:
        self._sent.remove(sent)
        self._ended += 1
        self._show()

    # -- lost workers ------------------------------------------------------------------------

    def _lost(self, sent: _Sent, error: Exception) -> Iterator[Event]:
        """Send what is left of a unit again, or give it up."""
        self._ray.cancel(sent.stream, force=True)  # only a result of it may be lost
        sent.lost += 1
        left = sent.unit.without(sent.done)
        reason = LOST.get(type(error).__name__, type(error).__name__)
        if left.tasks and sent.lost <= self._retries:
            yield Note(
                f"{sent.unit.title}: worker lost ({reason}); trying the remaining "
                f"{len(left.tasks)} of {len(sent.unit.tasks)} measurements again"
            )
            self._send(sent)
            return
        what = f"its worker was lost {sent.lost} times, last because {reason}"
        yield from failures(left, left.tasks, DebiasError(f"{what}; give it more with --retries"))
        self._end(sent)

    # -- checkpoints -------------------------------------------------------------------------

    def _folder(self, sent: _Sent, name: str) -> Path:
        """The folder in which a checkpoint is put together, one for each try."""
        assert self._job.scratch is not None
        return self._job.scratch / f"{name}-{sent.lost}"

    def _write(self, sent: _Sent, piece: remote.Piece) -> None:
        file = self._folder(sent, piece.folder) / piece.path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as stream:
                stream.write(piece.content)
        except OSError as error:
            shutil.rmtree(self._folder(sent, piece.folder), ignore_errors=True)
            raise StoreError(
                f"{file}: cannot write: {error.strerror or error}; what was finished before is "
                "kept, free some space and run the same command again"
            ) from None

    # -- the cluster -------------------------------------------------------------------------

    def _slots(self) -> int:
        """Units that the cluster can do at once, as it is now."""
        return sum(self._fit_on(node) for node in self._ray.nodes() if node["Alive"])

    def _fit_on(self, node: dict[str, Any]) -> int:
        resources = node["Resources"]
        units = [resources.get("CPU", 0) / self._cpus] if self._cpus else []
        if self._gpus:
            # a share is of one GPU: what is left of each is not put together
            gpus = int(resources.get("GPU", 0))
            units.append(gpus * int(1 / self._gpus) if self._gpus < 1 else gpus / self._gpus)
        return int(min(units)) if units else 1

    def _warnings(self) -> Iterator[Event]:
        if self._slots():
            return
        wanted = f"{self._cpus:g} CPUs and {self._gpus:g} GPUs"
        if self._alone:
            raise ServiceError(f"a unit asks for {wanted}: more than this machine has")
        yield Note(f"no node of the cluster has {wanted}; waiting for one that does")


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise SpecError(
            "--executor ray needs Ray: pip install 'bias-transfer-harness[ray]'"
        ) from None
    return ray


def _connect(ray: Any, address: str) -> None:
    if address.startswith("ray://"):
        raise SpecError(
            f"--ray-address {address}: results cannot be streamed to a Ray client; run on a "
            "machine of the cluster, with --ray-address auto (see docs/scaling.md)"
        )
    if address == "local":
        _listen_on_loopback()
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=ANSWERS_WITHIN).close()
        with _own_sigterm():
            ray.init(
                address=address,
                include_dashboard=False if address == "local" else None,
                log_to_driver=False,
                configure_logging=False,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ServiceError(
            f"no Ray cluster at '{address}': {first}; start one with `ray start --head`, or check "
            "--ray-address"
        ) from None


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's own way to end on SIGTERM, which `ray.init` replaces."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _listen_on_loopback() -> None:
    """Keep a cluster of this machine alone off the network.

    Ray does so by itself on macOS and Windows; elsewhere its processes listen on all interfaces
    unless it is told that there are no clusters. The variable is for the processes that it starts.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    with suppress(ImportError):
        from ray._private import ray_constants

        ray_constants.ENABLE_RAY_CLUSTER = False


def _gpus(ray: Any, device: str, wanted: float | None) -> float:
    """GPUs of a unit: as asked for, else one where the device is or may be one."""
    if wanted is not None:
        if wanted > 1 and wanted != int(wanted):
            raise SpecError(f"--gpus-per-task {wanted:g}: a share of one, or whole ones")
        if device.startswith("cuda") and not wanted:
            raise SpecError(f"--gpus-per-task 0: the spec's device is '{device}'")
        return wanted
    if device == "auto":
        return 1.0 if ray.cluster_resources().get("GPU") else 0.0
    return 1.0 if device.startswith("cuda") else 0.0


def _bug(error: Any) -> Exception:
    """What a worker's own exception is here: software that is missing there, or a bug."""
    cause = error.cause
    if isinstance(cause, ImportError):
        return PluginError(
            f"a worker cannot import what the driver can: {cause}; install the same environment "
            "on every machine of the cluster"
        )
    assert isinstance(error, Exception)
    return error


def _work(unit: Unit, inputs: Inputs, run: remote.Run) -> Iterator[remote.Message]:
    """What Ray runs on a worker."""
    import ray

    yield from remote.carry_out(unit, inputs, run, ray.get)
