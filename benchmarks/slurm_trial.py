"""The Slurm script of docs/scaling.md, on a Slurm of two nodes made of this machine.

    sudo apt-get install slurm-wlm munge iproute2
    sudo .venv/bin/python benchmarks/slurm_trial.py --data-dir DIR [--kill]

A node is a network of its own (a namespace behind a bridge, 10.77.0.0/24), with a host name,
processes, a ``/tmp``, a Ray session and a harness cache of its own; the nodes share the checkout
and the folder of results, as those of a cluster share a project's folder. The script is the one on
the page but for what `ADAPTED` changes: this machine's size, no GPU, a small spec.

Prints what each node's cache was sent, and fails if a node was sent no model, or unless all records
are those of a local run with one thread, byte for byte but for times. ``--kill`` ends all processes
of the second node in the middle of the run; what it was doing goes to the first. Needs root, and
leaves nothing behind but the printed folder and munged.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import measuring

ROOT = Path(__file__).parents[1]
NODES = {"trial1": "10.77.0.2", "trial2": "10.77.0.3"}
ALONE = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
HERE = "10.77.0.1"
BRIDGE = "trial-br"

ADAPTED = {
    "#SBATCH --nodes=4": "#SBATCH --nodes=2",
    "#SBATCH --cpus-per-task=32": "#SBATCH --cpus-per-task=1",
    "#SBATCH --gpus-per-node=4\n": "",
    ' --num-gpus "$SLURM_GPUS_ON_NODE"': " --object-store-memory 200000000",
    "--set device=cuda": "--set model=smollm2-135m {limits}",
    "--cpus-per-task 8": "--cpus-per-task 1",
}
"""What of the page's script is another here."""

CACHE = "/tmp/harness-cache"
"""Of the harness, on each node: its ``/tmp`` is its own."""

LEAST_SENT = 100 * 2**20
"""Bytes; the default model in fp32 is five times as large."""

LIMITS = (
    "source=[gender,race]",
    "masker=wordlist",
    "steps=[1,2]",
    "limits.items=6",
    "limits.passages=16",
    "limits.unseen=8",
    "evaluators.wikitext2-perplexity.max_windows=1",
)

CONFIGURATION = """\
ClusterName=trial
SlurmctldHost={host}({here})
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdTimeout=30
{nodes}
PartitionName=all Nodes={names} Default=YES State=UP
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the nodes, submit, wait, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measuring.add_data_option(parser)
    parser.add_argument("--kill", action="store_true", help="lose the second node in the middle")
    parser.add_argument("--minutes", type=float, default=20, help="how long to wait")
    options = parser.parse_args(arguments)
    missing = [name for name in ("slurmctld", "munged", "ip") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        sys.exit(f"needs root, and Debian's slurm-wlm, munge and iproute2 (missing: {missing})")
    folder = Path(tempfile.mkdtemp(prefix="slurm-trial-", dir="/var/tmp"))
    print(f"everything is in {folder}", flush=True)
    with ExitStack() as stack:
        stack.enter_context(cluster(folder))
        environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "SCRATCH": str(folder),
            "HARNESS_DATA": str(options.data_dir.resolve()) if options.data_dir else "",
            "HARNESS_CACHE": CACHE,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
        script = folder / "job.sh"
        script.write_text(page_script(LIMITS), "utf-8")
        log = folder / "job.log"
        job = run("sbatch", "--parsable", "-o", str(log), str(script), env=environment).strip()
        print(f"job {job} of\n{script.read_text('utf-8')}", flush=True)
        wait(job, environment, log, folder / "runs" / "transfer", options)
        print(log.read_text("utf-8")[-3000:])
        for name, sent in caches().items():
            print(f"{name}: cache of {sent / 2**20:.0f} MiB")
            if sent < LEAST_SENT and not options.kill:
                sys.exit(f"{name} took no part: its cache holds no model")
    compare(folder, options)


def page_script(limits: Sequence[str]) -> str:
    """The script on the page, adapted.

    Raises:
        SystemExit: the page no longer has what is to be changed.
    """
    page = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    found = re.search(r"### Slurm\n.*?```bash\n(.*?)```", page, re.DOTALL)
    script = found.group(1) if found else ""
    for old, new in ADAPTED.items():
        if old not in script:
            sys.exit(f"docs/scaling.md: the Slurm script has no '{old.strip()}' any more")
        script = script.replace(old, new.format(limits=settings(limits)))
    return script


def settings(limits: Sequence[str]) -> str:
    """Limits as options of the command."""
    return " ".join(f"--set '{limit}'" for limit in limits)


# -- two nodes -------------------------------------------------------------------------------


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Networks, munge, one slurmctld and two slurmd; gone at the end."""
    names = ",".join(NODES)
    nodes = "\n".join(
        f"NodeName={name} NodeAddr={address} CPUs=1 RealMemory=4000 State=UNKNOWN"
        for name, address in NODES.items()
    )
    host = os.uname().nodename
    text = CONFIGURATION.format(host=host, here=HERE, folder=folder, nodes=nodes, names=names)
    (folder / "slurm.conf").write_text(text, "utf-8")
    (folder / "cgroup.conf").write_text("IgnoreSystemd=yes\n", "utf-8")
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in NODES.items())]
    hosts = folder / "hosts"
    hosts.write_text("\n".join([*lines, f"{HERE} {host}", ""]), "utf-8")
    (folder / "state").mkdir()
    running: list[subprocess.Popen[bytes]] = []
    try:
        network()
        munge()
        environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        running.append(subprocess.Popen(["slurmctld", "-D"], env=environment))
        for name in NODES:
            (folder / f"spool-{name}").mkdir()
            inside = (
                f"hostname {name} && mount --bind {hosts} /etc/hosts && "
                f"mount -t tmpfs tmpfs /tmp && exec slurmd -D -f {folder}/slurm.conf"
            )
            running.append(
                subprocess.Popen(
                    ["nsenter", f"--net=/run/netns/{name}", *ALONE, "sh", "-c", inside],
                    env=environment,
                )
            )
        ready(environment)
        yield
    finally:
        for process in reversed(running):
            process.terminate()
        for name in NODES:
            end_processes(name)
            run("ip", "netns", "delete", name, check=False)
        run("ip", "link", "delete", BRIDGE, check=False)


def ready(environment: dict[str, str]) -> None:
    """Wait for both nodes.

    Raises:
        SystemExit: one does not come up.
    """
    for _ in range(30):
        time.sleep(1)
        states = run("sinfo", "-h", "-N", "-o", "%T", env=environment, check=False).split()
        if states == ["idle"] * len(NODES):
            return
    sys.exit(f"the nodes are {states}, not idle; see their logs")


def network() -> None:
    """A bridge, and a namespace behind it for each node."""
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{HERE}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    for name, address in NODES.items():
        run("ip", "netns", "add", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", name, "master", BRIDGE, "up")
        inside = ("ip", "-n", name)
        run(*inside, "address", "add", f"{address}/24", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "link", "set", "lo", "up")


def munge() -> None:
    """Start munged, unless it runs."""
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    run("runuser", "-u", "munge", "--", "munged", "--force")


def caches() -> dict[str, int]:
    """Bytes that each living node has in its harness cache."""
    found = {}
    for name in NODES:
        for number in run("ip", "netns", "pids", name).split()[:1]:
            enter = ("nsenter", "--mount", "--target", number)
            shown = run(*enter, "du", "--bytes", "--summarize", CACHE, check=False)
            found[name] = int(shown.split()[0]) if shown else 0
    return found


def end_processes(node: str) -> None:
    """SIGKILL for all that runs on a node."""
    for number in run("ip", "netns", "pids", node, check=False).split():
        run("kill", "-9", number, check=False)


# -- the job ---------------------------------------------------------------------------------


def wait(
    job: str, environment: dict[str, str], log: Path, store: Path, options: argparse.Namespace
) -> None:
    """Until the job has ended.

    Raises:
        SystemExit: it failed, or takes too long.
    """
    until = time.monotonic() + options.minutes * 60
    killed = False
    while time.monotonic() < until:
        time.sleep(2)
        shown = run("scontrol", "show", "job", job, env=environment)
        state = re.search(r"JobState=(\S+)", shown)
        now = state.group(1) if state else "unknown"
        if options.kill and not killed and len(records(store)) >= 3:
            print("second node lost", flush=True)
            end_processes(list(NODES)[1])
            killed = True
        if now in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"):
            if now == "COMPLETED":
                return
            text = log.read_text("utf-8") if log.is_file() else shown
            sys.exit(f"job {job}: {now}\n{text[-5000:]}")
    sys.exit(f"job {job} did not end within {options.minutes} minutes")


def compare(folder: Path, options: argparse.Namespace) -> None:
    """The same run once more by the local executor, record by record."""
    words = [sys.executable, "-m", "harness"]
    if options.data_dir:
        words += ["--data-dir", str(options.data_dir)]
    words += ["run", "transfer", "--set", "model=smollm2-135m", "--results", str(folder / "local")]
    words += [word for limit in LIMITS for word in ("--set", limit)]
    run(*words, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=ROOT)
    ours, theirs = records(folder / "runs" / "transfer"), records(folder / "local" / "transfer")
    if set(ours) != set(theirs):
        sys.exit(f"{len(ours)} records there, {len(theirs)} here")
    unlike = [key for key in ours if bare(ours[key]) != bare(theirs[key])]
    print(f"{len(ours)} records, {len(unlike)} of them not alike")
    if unlike:
        sys.exit(f"records differ: {', '.join(unlike)}")


def records(store: Path) -> dict[str, dict[str, Any]]:
    """A run's records by key."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in store.glob("records/*.json")}


def bare(record: dict[str, Any]) -> dict[str, Any]:
    """Without times."""
    return {k: v for k, v in record.items() if k not in ("created_at", "seconds")}


def run(*words: str, check: bool = True, **options: Any) -> str:
    """What a command prints.

    Raises:
        SystemExit: it fails.
    """
    found = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if check and found.returncode:
        sys.exit(f"{' '.join(words)}: {found.stderr or found.stdout}")
    return found.stdout


if __name__ == "__main__":
    main()
