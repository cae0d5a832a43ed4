"""Foreign text on a terminal: shown as it is, and unable to do anything."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from made_runs import make_run
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from harness.cli.main import COMMANDS, cli
from harness.render.console.failures import print_failures
from harness.render.console.progress import ConsoleReporter
from harness.render.console.terminal import Terminal
from harness.render.safe_text import json_text, one_line, printable
from harness.storage.store import Store

ROOT = Path(__file__).parents[2]

HOSTILE = "pairs[v2] x[/] [red]:smile: \x1b[31m\x1b]0;owned\x07\x9b2J\r\u202e\x00"
"""Markup, an emoji code, ANSI, OSC, C1, a carriage return, a bidirectional override, NUL."""

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printed(draw: object) -> str:
    """Everything that a renderable or a function writes to a terminal without colours."""
    console = Terminal(file=io.StringIO(), width=200)
    if callable(draw):
        draw(console)
    else:
        console.print(draw)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def tables() -> list[object]:
    by_string = Table("a", HOSTILE, title=HOSTILE, caption=HOSTILE)
    by_string.add_row(HOSTILE, HOSTILE)
    by_text = Table()
    by_text.add_column(Text(HOSTILE))
    by_text.add_row(Text.assemble((HOSTILE, "red")))
    progress = Progress(TextColumn("{task.description}", markup=False))
    progress.add_task(HOSTILE)
    return [
        HOSTILE,
        Text(HOSTILE, "bold"),
        by_string,
        by_text,
        progress.get_renderable(),
        lambda console: console.say(HOSTILE, "red"),
        lambda console: console.alert(HOSTILE, HOSTILE, "red"),
        lambda console: print_failures(console, [(HOSTILE, HOSTILE), ("b", HOSTILE)]),
    ]


@pytest.mark.parametrize("draw", tables())
def test_whatever_is_printed_is_literal_and_harmless(draw: object) -> None:
    text = printed(draw)
    assert not UNSAFE.search(text)
    assert "pairs[v2] x[/] [red]:smile:" in text


@given(st.text(st.characters(codec=None, categories=None), max_size=40))
def test_no_text_at_all_reaches_a_terminal_with_a_control_character(text: str) -> None:
    for shown in (printed(text), printed(Text(text)), printable(text), one_line(text)):
        assert not UNSAFE.search(shown)
        shown.encode("utf-8")  # no lone surrogate
    assert printable(printable(text)) == printable(text)


@given(st.recursive(st.text(max_size=20), lambda own: st.dictionaries(st.text(max_size=5), own)))
def test_json_is_safe_to_show_and_reads_back_as_it_was(value: object) -> None:
    text = json_text(value)
    assert not UNSAFE.search(text)
    assert json.loads(text) == value


def test_colours_of_our_own_stay() -> None:
    console = Terminal(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    console.alert("failed", HOSTILE, "red")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.startswith("\x1b[31mfailed\x1b[0m pairs[v2]")
    assert text.count("\x1b") == 2


def test_a_cause_is_printed_once_with_a_count() -> None:
    text = printed(lambda console: print_failures(console, [(f"cell {i}", "no") for i in range(9)]))
    assert text == "failed (9) no: cell 0; cell 1; and 7 more\n"


def test_the_reporter_counts_measurements_and_repeats_no_reason() -> None:
    console = Terminal(file=io.StringIO(), width=100)
    with ConsoleReporter(console) as reporter:
        reporter.begin({"pairs": 24}, done=0)
        reporter.measured("pairs", HOSTILE, 1.0)
        for _ in range(5):
            reporter.failed("pairs", HOSTILE, "no such device")
        for _ in range(2):
            reporter.failed("pairs", HOSTILE, "too long")
        reporter.note(HOSTILE)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[1/24] pairs[v2] x[/]" in text
    assert text.count("[2/24] failed") == 1
    assert "failed (4 more times) no such device" in text
    assert "failed (once more) too long" in text
    assert not UNSAFE.search(text)


# -- every command ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A stored run in which every name and reason that somebody else chose is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    store = make_run(
        folder,
        methods=[HOSTILE.replace("\0", "")],
        maskers=["wordlist"],
        steps=[10],
        fail={("race", 10)},
        reason=HOSTILE,
    )
    index = store.index()
    store.write_index(index.model_copy(update={"spec": {**index.spec, "description": HOSTILE}}))
    return store


def words(command: str, store: Store, folder: Path) -> list[str]:
    """Arguments with which a command meets the hostile run or spec."""
    spec = folder / "spec.yaml"
    model = {"use": "hf", "id": str(folder / "none"), "as": "m[/]\x1b[1m"}
    plain = {"name": "s", "model": model, "description": HOSTILE, "evaluators": ["embedded-pairs"]}
    spec.write_text(yaml.safe_dump({**plain, "targets": ["gender"]}), "utf-8")
    key = next(iter(store.record_keys()))
    known = {
        "run": [str(spec), "--results", str(folder / "runs")],
        "plan": [str(spec)],
        "eval": ["hf", "-e", "embedded-pairs", "--set", f'model.id="{folder}/none[/]\\e[1m"'],
        "mask": ["--domain", HOSTILE.replace("\0", "")],
        "matrix": [str(store.folder)],
        "leaderboard": [str(store.folder)],
        "export": [str(store.folder), "--format", "markdown"],
        "report": [str(store.folder), "--out", str(folder / "page\x1b[1m.html")],
        "export-model": [str(store.folder), "identity", str(folder / "model")],
        "show": [str(store.folder), "gender/wordlist", "--no-text"],
        "compare": [str(store.folder), str(store.folder)],
        "verify": [str(store.folder)],
        "repro": [str(store.folder), HOSTILE.replace("\0", "")],
        "explain": [str(store.folder), key],
        "plugins": ["show", HOSTILE.replace("\0", "")],
        "data": ["fetch", HOSTILE.replace("\0", "")],
        "calibrate": ["--counts", str(folder / "none\x1b[1m.json")],
    }
    return known.get(command, [HOSTILE.replace("\0", "")])


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_command_lets_foreign_text_act(
    command: str, run: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from harness.cli import main as entry

    arguments = words(command, run, tmp_path)
    monkeypatch.setattr("sys.argv", ["harness", "--offline", command, *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with contextlib.suppress(SystemExit):
        entry.main()
    out, err = capfd.readouterr()
    shown = out + err
    assert shown.strip()
    assert not UNSAFE.search(shown.replace("\r", ""))  # a line of progress ends in one
    assert "Traceback" not in shown


@pytest.mark.parametrize("words", [["matrix"], ["leaderboard"], ["matrix", "--json"]])
def test_names_with_brackets_are_shown_whole(run: Store, words: list[str]) -> None:
    result = CliRunner().invoke(
        cli, [words[0], str(run.folder), *words[1:]], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    assert "pairs[v2] x[/]" in " ".join(result.output.split())


# -- one way to the terminal -----------------------------------------------------------------

ALLOWED = {
    "harness/cli/output.py",
    "harness/render/console/terminal.py",
    "harness/cli/mask.py",  # a line of progress that is written over itself
    "harness/run_results.py",  # reads back what a Terminal wrote, for a caller's own console
}
FORBIDDEN = {"echo", "secho", "print", "Console", "from_markup", "from_ansi", "render_markup"}


def calls(path: Path) -> set[str]:
    """Names of the forbidden functions that a module calls: ``print`` as a built-in only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN - {"echo"}:
            found.add(node.func.id)
        elif isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN - {"print"}:
            found.add(node.func.attr)
    return found


def test_there_is_one_way_to_the_terminal() -> None:
    """Commands print through `Terminal` and `harness.cli.output` only."""
    paths = [*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    assert len(paths) > 150
    found = {str(path.relative_to(ROOT)): calls(path) for path in paths}
    assert {path for path, names in found.items() if names} - ALLOWED == set()
    assert found["harness/cli/output.py"] == {"echo"}
    assert found["harness/run_results.py"] == {"from_ansi"}
