"""Fresh virtual environments in a second: a venv that borrows this environment's libraries."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class FreshEnv:
    """A virtual environment, and the folder that commands run in (outside the checkout)."""

    root: Path
    work: Path

    @classmethod
    def make(cls, folder: Path, *, with_checkout: bool) -> FreshEnv:
        """Create it. Torch and the rest are borrowed through a ``.pth`` file, not installed.

        Args:
            folder: an empty folder.
            with_checkout: see the harness of this checkout too (an editable install is itself
                a ``.pth`` file, which is read only where the folder is a site folder).
        """
        root, work = folder / "env", folder / "work"
        work.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
        borrowed = sysconfig.get_paths()["purelib"]
        scheme = sysconfig.get_paths("venv", {"base": str(root), "platbase": str(root)})
        line = f"import site; site.addsitedir({borrowed!r})" if with_checkout else borrowed
        (Path(scheme["purelib"]) / "borrowed.pth").write_text(line + "\n")
        return cls(root, work)

    def pip_install(self, *packages: Path) -> None:
        """Install packages from folders or wheels, without network and dependencies."""
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-I"]
        result = self.run("python", "-m", "pip", "install", *options, *map(str, packages))
        assert result.returncode == 0, result.stderr

    def run(
        self, command: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in the work folder, with its own caches."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HARNESS_", "PYTHON", "VIRTUAL_ENV", "PYTEST_", "COLUMNS"))
        }
        env |= {
            "PATH": f"{self.root / 'bin'}{os.pathsep}{env['PATH']}",
            "HARNESS_CACHE": str(self.work / "cache"),
            "HF_HOME": str(self.work / "hf"),
            "COLUMNS": "200",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        program = str(self.root / "bin" / command)
        if not Path(program).exists():  # a script of the borrowed environment
            program, arguments = str(self.root / "bin" / "python"), ("-m", command, *arguments)
        return subprocess.run(
            [program, *arguments],
            cwd=self.work,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
