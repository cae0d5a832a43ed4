"""The Ray executor on a real cluster of several nodes: the local executor's records, and no less
when a node is killed; nothing shared but the cluster."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray_toys
from run_toys import TINY_SPEC
from toy_plugins import TOY_SPEC, toy_registry

from harness.data.places import DataStore
from harness.errors import PluginError
from harness.plugins import Registry, load_registry
from harness.running.executors import Executor
from harness.running.executors.local import LocalExecutor
from harness.running.executors.ray import Needs, RayExecutor
from harness.running.experiment import Experiment
from harness.running.reporting import Reporter
from harness.running.runner import Outcome
from harness.storage.store import Store
from harness.testing import save_tiny_model

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(180)]

UNALIKE = {"created_at": True, "seconds": True, "provenance": {"commit", "dirty"}}
"""Times; and the state of a checkout that somebody may be working on between two runs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests and the toys on the workers share."""
    return tmp_path_factory.mktemp("ray-toys")


@pytest.fixture(scope="module", autouse=True)
def cluster(folder: Path) -> Iterator[Any]:
    """A head without cores and two nodes with one each, of homes and caches of their own."""
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80_000_000, "include_dashboard": False}
    # a lost node is noticed after 3 s instead of 15; workers get their share of a busy machine
    checks = {
        "health_check_period_ms": 1000,
        "health_check_failure_threshold": 3,
        "worker_niceness": 0,
    }
    made = Cluster()
    made.add_node(num_cpus=0, _system_config=checks, **store)
    for name in ("one", "two"):
        home = folder / f"home-{name}"
        home.mkdir()
        env = {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "HARNESS_CACHE": "",
            "HARNESS_DATA": "",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parents[1] / "support"), os.environ.get("PYTHONPATH", "")]
            ),
            "RAY_TOYS": str(folder),
        }
        made.add_node(num_cpus=1, env_vars=env, **store)
    ray.init(address=made.address, log_to_driver=False, configure_logging=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(autouse=True)
def _no_orders(folder: Path) -> None:
    for name in ("trace", "die", "crash", "sleep"):
        (folder / name).unlink(missing_ok=True)


def carry_out(
    raw: dict[str, Any],
    place: Path,
    executor: Executor,
    registry: Registry | None = None,
    data: DataStore | None = None,
    reporter: Reporter | None = None,
) -> tuple[Store, Outcome]:
    registry = registry or toy_registry()
    data = data or DataStore(cache_dir=place / "cache", offline=True)
    experiment = Experiment.from_mapping(raw, registry=registry, data=data, folder=place / "run")
    return experiment.store, experiment.run(reporter=reporter, executor=executor)


def records(store: Store) -> dict[str, str]:
    """Every record without what may differ, as the JSON that is stored."""
    found = {}
    for key in store.record_keys():
        record = store.record(key, items=False)
        assert record is not None
        found[key] = record.model_dump_json(exclude=UNALIKE)  # type: ignore[arg-type]
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def same(one: Store, other: Store) -> None:
    """Assert that two runs hold the same, byte for byte but for `UNALIKE`."""
    assert records(one) == records(other)
    for part in ("items", "checkpoints"):
        assert files(one.folder / part) == files(other.folder / part)


def trace(folder: Path) -> list[list[str]]:
    """Level, process and home of each evaluation on a worker."""
    return [line.split() for line in (folder / "trace").read_text().splitlines()]


class Listener(Reporter):
    """Remembers the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The toy spec, done by this process."""
    store, outcome = carry_out(TOY_SPEC, tmp_path_factory.mktemp("local"), LocalExecutor())
    assert not outcome.failures
    return store


def test_the_same_records_from_several_nodes(folder: Path, tmp_path: Path, local: Store) -> None:
    executor = RayExecutor(registry=ray_toys.mortal_registry)
    store, outcome = carry_out(TOY_SPEC, tmp_path, executor)
    assert (outcome.measured, outcome.failures) == (len(records(local)), [])
    same(store, local)
    assert len({home for _, _, home in trace(folder)}) == 2, "one node did it all"
    _, again = carry_out(TOY_SPEC, tmp_path, executor)
    assert (again.reused, again.measured) == (len(records(local)), 0)


@pytest.mark.parametrize(("order", "reason"), [("crash", "process died"), ("die", "node")])
def test_a_lost_worker_loses_only_what_is_unfinished(
    folder: Path, tmp_path: Path, local: Store, order: str, reason: str
) -> None:
    (folder / order).touch()
    listener = Listener()
    executor = RayExecutor(registry=ray_toys.mortal_registry)
    store, outcome = carry_out(TOY_SPEC, tmp_path, executor, reporter=listener)
    assert not (folder / order).exists()
    assert (outcome.measured, outcome.failures) == (len(records(local)), [])
    same(store, local)
    (lost,) = [note for note in listener.notes if "worker lost" in note]
    assert reason in lost
    # of 6 (2 evaluators, 3 steps) 2 were done at step 10; reading the source came next
    assert "remaining 4 of 6" in lost
    levels = Counter(level for level, _, _ in trace(folder))
    assert levels["-1.10"] == 2, "a finished step was measured again"
    assert levels["-1.20"] == 3, "of two sources, and the one that died"


def test_a_unit_that_is_always_lost_fails_and_the_others_do_not(
    folder: Path, tmp_path: Path, local: Store
) -> None:
    (folder / "crash").touch()
    executor = RayExecutor(needs=Needs(retries=0), registry=ray_toys.mortal_registry)
    store, outcome = carry_out(TOY_SPEC, tmp_path, executor)
    assert outcome.measured == len(records(local)) - 4
    assert {reason for _, reason in outcome.failures} == {
        "its worker was lost 1 times, last because its process died; give it more with --retries"
    }
    _, outcome = carry_out(TOY_SPEC, tmp_path, executor)
    assert (outcome.measured, outcome.failures) == (4, [])
    same(store, local)


def test_a_plugins_own_failure_is_no_lost_worker(tmp_path: Path) -> None:
    raw = {**TOY_SPEC, "debiaser": [{"use": "toy-debiaser", "diverge_at": 20}]}
    expected, there = carry_out(raw, tmp_path / "local", LocalExecutor())
    store, outcome = carry_out(
        raw, tmp_path / "ray", RayExecutor(registry=ray_toys.mortal_registry)
    )
    assert sorted(outcome.failures) == sorted(there.failures)
    assert outcome.failures
    same(store, expected)


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        (ray_toys.newer_registry, "is of toy-distribution 2.0, the driver's of toy-distribution"),
        (ray_toys.empty_registry, "no model 'toy'; install toy-distribution==1.0 there"),
        (ray_toys.unimportable_registry, "No module named 'harness_of_the_driver'; install the"),
    ],
)
def test_a_worker_with_other_plugins_is_told_in_one_line(
    tmp_path: Path, registry: Callable[[], Registry], said: str
) -> None:
    with pytest.raises(PluginError) as caught:
        carry_out(TOY_SPEC, tmp_path, RayExecutor(registry=registry))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_model_and_checkpoints_travel(folder: Path, tmp_path: Path, shared_data: Path) -> None:
    """The driver's files are gone before a worker could read them; the checkpoints come back."""
    import torch

    model = save_tiny_model(tmp_path / "own" / "model")
    data = tmp_path / "own" / "data"
    (data / "crows_pairs").mkdir(parents=True)
    name = "crows_pairs/crows_pairs_anonymized.csv"
    shutil.copy(shared_data / name, data / name)
    raw = {
        **TINY_SPEC,
        "model": {"use": "hf", "id": str(model), "as": "tiny"},
        "source": ["gender"],
        "evaluators": [{"use": "crows-pairs", "scorers": ["lmeval_sum"]}],
        "steps": [2],
        "limits": {"items": 2, "passages": 8, "seed": 1},  # short enough for a tiny context
    }
    registry = load_registry(strict=True)
    own = DataStore(data_dir=data, cache_dir=tmp_path / "cache", offline=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have it: sums of floats depend on how they are split
    expected, there = carry_out(raw, tmp_path / "local", LocalExecutor(), registry, own)
    assert (there.measured, there.failures) == (3, [])
    torch.set_num_threads(threads)

    class Taking(Reporter):
        def phase(self, title: str) -> None:
            if title.endswith("on the cluster") and (tmp_path / "own").exists():
                (tmp_path / "own").rename(tmp_path / "gone")

    store, outcome = carry_out(raw, tmp_path / "ray", RayExecutor(), registry, own, Taking())
    assert (outcome.measured, outcome.failures) == (3, [])
    same(store, expected)
    assert len(list(store.folder.glob("checkpoints/*/step-*/model.safetensors"))) == 2
    copies = list(folder.glob("home-*/cache/bias-transfer-harness/shipped/*/*"))
    assert {copy.name for copy in copies} == {"model", "data"}


def test_ctrl_c_ends_the_workers_at_once(folder: Path, tmp_path: Path) -> None:
    (folder / "sleep").touch()

    class Interrupting(Reporter):
        def progress(self, done: int, total: int, what: str) -> None:
            deadline = time.monotonic() + 60
            while not (folder / "trace").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            raise KeyboardInterrupt

    executor = RayExecutor(registry=ray_toys.mortal_registry)
    with pytest.raises(KeyboardInterrupt):
        carry_out(TOY_SPEC, tmp_path, executor, reporter=Interrupting())
    deadline = time.monotonic() + 10
    pids = {int(pid) for _, pid, _ in trace(folder)}
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker goes on"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
