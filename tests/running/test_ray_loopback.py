"""A local Ray cluster is not reachable from the network."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, os, psutil, ray
from harness.running.executors.ray import _connect
_connect(ray, "local")
ray.get(ray.remote(num_cpus=1)(lambda: 1).remote())
session = ray._private.worker._global_node.get_session_dir_path()
found = []
for process in psutil.process_iter():
    try:
        words = " ".join(process.cmdline())
        if process.pid == os.getpid() or session in words or words.startswith("ray::"):
            found += [
                c.laddr.ip for c in process.net_connections("inet")
                if c.status == "LISTEN" and process.pid != os.getppid()
            ] if os.getpid() in [p.pid for p in [process, *process.parents()]] else []
    except psutil.Error:
        continue
ray.shutdown()
print(json.dumps(found))
"""


def test_a_local_cluster_listens_on_loopback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-500:]
    addresses = json.loads(done.stdout.splitlines()[-1])
    assert addresses
    assert {address.rpartition(":")[2] for address in addresses} == {"127.0.0.1"}
