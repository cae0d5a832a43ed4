"""The command group: quick help, errors in one line, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from harness import errors
from harness.cli import main as entry
from harness.cli.main import COMMANDS, cli

Run = Callable[..., object]

HEAVY = ("torch", "transformers", "datasets", "pydantic", "numpy", "rich", "openai")


def modules_after(*arguments: str) -> tuple[str, set[str]]:
    """Run the command in a fresh interpreter; returns its output and the modules it imported."""
    code = (
        "import sys; sys.argv[1:] = sys.argv[1:]\n"
        "from harness.cli.main import cli\n"
        "try:\n    cli(sys.argv[1:], prog_name='harness')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('\\n'.join(sorted(sys.modules)), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return result.stdout, set(result.stderr.split())


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    shown, modules = modules_after("--help")
    for name, summary in COMMANDS.items():
        assert name in shown
        assert summary.split(";")[0].split(".")[0].split(",")[0] in " ".join(shown.split())
    assert not modules.intersection(HEAVY)


def test_listing_plugins_imports_no_torch() -> None:
    shown, modules = modules_after("plugins")
    assert "smollm2-135m" in shown
    assert not modules.intersection({"torch", "transformers", "datasets", "openai"})


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_that_loads(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``main()`` with arguments; returns its exit code (None: it just returned)."""

    def call(*arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        try:
            entry.main()
        except SystemExit as end:
            return end.code
        return None

    return call


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["rnu"], 2, "no command 'rnu'; did you mean 'run'?"),
        (["plugins", "--family", "maskers"], 2, "'masker'"),
        (["plugins", "--json", "show", "hf"], 2, "belong to the list"),
        (["plugins", "show", "wordlists"], 3, "did you mean 'wordlist'?"),
        (["plan", "no-such-spec"], 2, "no-such-spec: no such spec file"),
        (["matrix", "no-such-run"], 8, "no-such-run"),
    ],
)
def test_mistakes_end_in_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert run(*arguments) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert not run("--version")
    assert capsys.readouterr().out.startswith("harness, version ")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.SpecError("a"), 2),
        (errors.PluginError("a"), 3),
        (errors.DataError("a"), 4),
        (errors.ModelError("a"), 5),
        (errors.DebiasError("a"), 6),
        (errors.ServiceError("a"), 7),
        (errors.StoreError("a"), 8),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_exit_code_of_each_error(
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    code: int,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise raised

    monkeypatch.setattr(entry, "cli", fail)
    assert run() == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_bug_keeps_its_trace(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(entry, "cli", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run()


STORED = Path(__file__).parents[1] / "storage" / "records" / "v1"


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_a_table_is_shown_on_a_stream_that_lacks_its_characters(settings: dict[str, str]) -> None:
    words = [sys.executable, "-m", "harness", "matrix", str(STORED)]
    done = subprocess.run(words, capture_output=True, check=False, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    assert b"1 fit per method" in done.stdout
    assert b"Traceback" not in done.stderr


STOPPED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests inherited
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
import click
from harness.cli import main as entry

def stop(*args, **kwargs):
    try:
        os.kill(os.getpid(), signal.Signals[sys.argv[1]])
        signal.pause()
    except KeyboardInterrupt:
        print("unwound")
        raise

entry.cli = stop
entry.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize(
    ("name", "code", "by"),
    [
        ("SIGINT", 130, "interrupted"),
        ("SIGTERM", 143, "stopped by SIGTERM"),
        ("SIGHUP", 129, "stopped by SIGHUP"),
    ],
)
def test_a_signal_to_end_unwinds_and_says_how_to_go_on(name: str, code: int, by: str) -> None:
    """Locks go and what is open is closed, as on Ctrl-C; a plain kill does the same."""
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, name],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == "unwound\n"
    assert done.returncode == code
    assert done.stderr == (
        f"harness: {by}; finished results are kept; run the same command again to continue\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_a_run_under_nohup_does_not_end_with_its_terminal() -> None:
    ignored = STOPPED.replace("SIGHUP, signal.SIG_DFL", "SIGHUP, signal.SIG_IGN")
    done = subprocess.run(
        [sys.executable, "-c", ignored.replace("signal.pause()", "print('goes on')"), "SIGHUP"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "goes on\n")


def test_a_reader_that_has_enough_is_no_error() -> None:
    """As in ``harness matrix RUN | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "harness", "matrix", str(STORED)]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="only Linux has this device")
def test_output_that_cannot_be_written_is_told_in_one_line() -> None:
    words = [sys.executable, "-m", "harness", "matrix", str(STORED)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 8
    assert done.stderr == b"harness: the output cannot be written: no space is left there\n"
