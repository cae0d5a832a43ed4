"""`harness mask`: passages, highlights, summary."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import harness_corpora.hooks
import pytest
from click.testing import CliRunner, Result
from openai_server import say, serving, status

from harness.cli.main import cli, main
from harness.errors import HarnessError
from harness.families import Masker, PluginConfig
from harness.hookspecs import hookimpl
from harness.lm.handle import ModelKind
from harness.plugins import Origin, build_registry
from harness.render.console.masks import highlighted, print_masked
from harness.render.console.terminal import Terminal
from harness.testing import save_tiny_model
from harness.types import MaskedPassage, MaskEstimate, MaskRequest, Passage, Span

TOYS = Origin("toys", "toys", "1.0")


def _run(*args: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, ["mask", *args], catch_exceptions=False, **options)


def _fails(*args: str) -> str:
    with pytest.raises(HarnessError) as error:
        CliRunner().invoke(cli, ["mask", *args], catch_exceptions=False, standalone_mode=False)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_shows_masks_and_summary() -> None:
    result = _run("--limit", "3", "--set", "rules=[attribute, harm]")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert sum(line.startswith("embedded/gender/hateful/train/") for line in lines) == 3
    assert "passages with a mask" in result.stdout
    assert "words after the first mask" in result.stdout
    assert "masks by rule 'attribute'" in result.stdout
    assert "\x1b" not in result.stdout  # piped: no colours, brackets tell


def test_json_says_the_same_as_the_masker() -> None:
    result = _run("--limit", "4", "-d", "religion", "--json")
    found = json.loads(result.stdout)
    assert found["masker"] == "wordlist"
    assert len(found["passages"]) == 4
    for answer in found["passages"]:
        assert answer["passage"]["domain"] == "religion"
        for span in answer["spans"]:
            word = answer["passage"]["text"][span["start"] : span["end"]]
            assert word.casefold().rstrip("s") in span["reason"].casefold()
    assert found["summary"]["passages"] == 4
    assert found["summary"]["spans"] == sum(len(a["spans"]) for a in found["passages"])


def test_show_limits_what_is_printed_not_what_is_counted() -> None:
    found = json.loads(_run("--limit", "5", "--show", "1", "--json").stdout)
    assert len(found["passages"]) == 1
    assert found["summary"]["passages"] == 5


def test_masker_and_label_and_split_are_options() -> None:
    args = ("--masker", "all", "--label", "non-hateful", "--split", "test", "--limit", "2")
    found = json.loads(_run(*args, "--json").stdout)
    assert {a["passage"]["label"] for a in found["passages"]} == {"non-hateful"}
    assert {a["passage"]["split"] for a in found["passages"]} == {"test"}
    assert found["summary"]["masked_words"] == found["summary"]["words"]


def test_nested_config() -> None:
    args = ("--masker", "random", "--set", "like.rules=[harm, attribute]", "--limit", "2")
    assert json.loads(_run(*args, "--json").stdout)["summary"]["kinds"].keys() <= {"random"}


def test_spec_names_corpus_masker_and_domain(tmp_path: Path) -> None:
    spec = tmp_path / "mine.yaml"
    spec.write_text(
        "model: smollm2-135m\n"
        "corpus: embedded\n"
        "source: [religion, gender]\n"
        "masker:\n"
        "  - {use: wordlist, as: harm words, rules: [harm]}\n"
        "  - all\n"
        "debiaser: mlm-unlearning\n"
        "evaluators: [embedded-pairs]\n"
    )
    found = json.loads(_run("--spec", str(spec), "--limit", "20", "--json").stdout)
    assert found["domain"] == "religion"
    assert found["masker"] == "wordlist"
    assert found["summary"]["kinds"].keys() <= {"harm"}
    other = _run("--spec", str(spec), "--masker", "all", "-d", "gender", "--limit", "1", "--json")
    assert json.loads(other.stdout)["summary"]["kinds"] == {"all": 1}
    assert "harm words" in _fails("--spec", str(spec), "--masker", "harm word")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--masker", "wordlst"), "wordlist"),
        (("--corpus", "embeded"), "embedded"),
        (("--domain", "gendr"), "gender"),
        (("--set", "rulez=[harm]"), "did you mean 'rules'"),
        (("--set", "rules"), "KEY=VALUE"),
        (("--set", "rules=[slurs]"), "--set: masker 'wordlist'"),
        (("--corpus-set", "nonsense=1"), "--corpus-set: corpus 'embedded'"),
        (("--set", "rules=[file]", "--set", "path=none.txt"), "none.txt"),
    ],
)
def test_mistakes_are_one_line(args: tuple[str, ...], told: str) -> None:
    assert told in _fails(*args)


def test_service_is_called_after_a_yes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serving() as server:
        server.default = [say()]
        args = ["--masker", "openai", "--limit", "2", "--set", f"base_url={server.base_url}"]
        assert "--yes" in _fails(*args)
        assert server.calls == 0
        result = _run(*args, "--yes", "--json")
        assert server.calls == 2
        assert "masker openai: 2 calls, about" in result.stderr
        assert json.loads(result.stdout)["summary"]["notes"] == {"no word named": 2}
        assert "masker openai" not in _run(*args).stderr  # all stored: nothing to ask for
        assert server.calls == 2


def test_what_was_spent_is_shown_and_agrees_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serving() as server:
        server.default = [status(500), say("nobody"), say()]
        settings = ["model=gpt-4o", f"base_url={server.base_url}", "backoff=0.001", "retries=9"]
        args = ["--masker", "openai", "--limit", "3", "--yes"]
        args += [option for setting in settings for option in ("--set", setting)]
        result = _run(*args, "--json")
        assert server.calls == 9
        assert server.charged == (600, 120)
        cost = (600 * 2.5 + 120 * 10) / 1e6
        assert result.stderr.splitlines()[-1] == (
            f"masker openai: 9 calls, 600 tokens in and 120 out, ${cost:.4f} spent; "
            "3 malformed answer, 3 server error"
        )
        usage = json.loads(result.stdout)["usage"]
        assert (usage["calls"], usage["tokens_in"], usage["tokens_out"]) == (9, *server.charged)
        again = _run(*args, "--json")
        assert json.loads(again.stdout)["usage"] is None  # all stored: nothing was spent
        assert "spent" not in again.stderr


def test_what_was_spent_is_shown_when_masking_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serving() as server:
        server.default = [say("nobody")]
        args = ["mask", "--masker", "openai", "--limit", "2", "--yes"]
        args += ["--set", f"base_url={server.base_url}", "--set", "asks=1"]
        result = CliRunner().invoke(cli, args)
        assert isinstance(result.exception, HarnessError)
        assert "spent; " in result.stderr
        assert f"{server.calls} call" in result.stderr


# -- plugins that fail -----------------------------------------------------------------------


class _Broken(Masker[PluginConfig]):
    """Fails in the way that a test chooses."""

    name = "broken"
    summary = "Fails."
    reference = "tests"
    fails: ClassVar[Callable[[MaskRequest], Any]]

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        if type(self).fails is _in_constructor:
            raise RuntimeError("no constructor")

    def estimate(self, request: MaskRequest) -> MaskEstimate:
        if type(self).fails is _in_estimate:
            return MaskEstimate(calls="many")  # type: ignore[arg-type]
        return MaskEstimate()

    def mask(self, request: MaskRequest) -> Any:
        return type(self).fails(request)


def _in_constructor(request: MaskRequest) -> Any:
    """Fail before any question."""


def _in_estimate(request: MaskRequest) -> Any:
    """Fail when asked what masking would cost."""


def _spans(*ranges: tuple[int, int]) -> Callable[[MaskRequest], Any]:
    def mask(request: MaskRequest) -> Any:
        spans = tuple(Span(start=a, end=b, kind="k", reason="r") for a, b in ranges)
        return [MaskedPassage(passage=p, spans=spans) for p in request.passages]

    return mask


def _raises(request: MaskRequest) -> Any:
    raise KeyError("women\nand more")


class _Lazy(Sequence[Any]):
    """A list that fails when it is read."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: Any) -> Any:
        raise ZeroDivisionError("lazy")


Fails = Callable[[MaskRequest], Any]


@pytest.fixture
def stderr_of_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Fails], str]:
    """Runs ``harness mask --masker broken``; returns the only line that it prints."""

    def run(fails: Fails) -> str:
        class Broken(_Broken):
            pass

        Broken.fails = staticmethod(fails)  # type: ignore[assignment]

        class Hooks:
            @staticmethod
            @hookimpl
            def harness_maskers() -> Any:
                return [Broken]

        registry = build_registry([(harness_corpora.hooks, TOYS), (Hooks, TOYS)])
        monkeypatch.setattr("harness.plugins.load_registry", lambda **_: registry)
        monkeypatch.setattr(sys, "argv", ["harness", "mask", "--masker", "broken"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 3
        shown = capsys.readouterr()
        assert shown.out == ""
        (line,) = shown.err.splitlines()
        return line

    return run


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (_spans((0, 10_000)), "MaskedPassage: Value error, span 0-10000 of passage"),
        (_spans((5, 9), (3, 6)), "span 3-6 of passage"),
        (_spans((4, 4)), "span 4-4 of passage"),
        (_spans((-1, 3)), "Span.start"),
        (_raises, "KeyError: 'women"),
        (lambda request: _Lazy(), "ZeroDivisionError: lazy"),
        (_in_estimate, "MaskEstimate.calls"),
        (_in_constructor, "RuntimeError: no constructor"),
    ],
)
def test_failing_masker_is_one_line_with_its_place_and_trace(
    fails: Fails, told: str, stderr_of_main: Callable[[Fails], str]
) -> None:
    line = stderr_of_main(fails)
    assert told in line
    assert "masker 'broken' (entry point 'toys' of toys 1.0)" in line
    assert re.search(r"\(.*\.py, line \d+\)", line)
    trace = Path(line.rpartition("trace: ")[2].strip())
    assert "Traceback (most recent call last)" in trace.read_text("utf-8")
    trace.unlink()


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (lambda request: None, "must return a list, not NoneType"),
        (lambda request: iter(()), "must return a list"),
        (lambda request: "text", "must return a list, not str"),
        (lambda request: [], "gave 0 answers for 10 passages"),
        (lambda request: [1] * 10, "answer[0]"),
        (lambda request: [{"passage": {}, "spans": []}] * 10, "answer[0.passage.id]"),
        (lambda request: [*_spans()(request)][::-1], "changed or reordered passage"),
    ],
)
def test_invalid_answer_is_one_line(
    fails: Fails, told: str, stderr_of_main: Callable[[Fails], str]
) -> None:
    line = stderr_of_main(fails)
    assert "broke its contract in mask()" in line
    assert told in line


# -- comparing -------------------------------------------------------------------------------


def test_compare_on_the_console() -> None:
    result = _run("--compare", "wordlist", "wordlist rules=harm", "random", "--limit", "12")
    assert result.exit_code == 0
    assert "Agreement" in result.stdout
    assert "embedded/gender" not in result.stdout  # examples stay hidden
    shown = _run("--compare", "wordlist", "random", "--limit", "12", "--show", "1").stdout
    assert shown.count("embedded/gender") == 1
    assert "wordlist and random differ in:" in shown


def test_compare_as_data() -> None:
    args = ("--compare", "wordlist", "wordlist rules=both", "random", "--limit", "12")
    found = json.loads(_run(*args, "--json", "--show", "2").stdout)
    assert list(found["maskers"]) == ["wordlist", "wordlist rules=both", "random"]
    assert [(p["first"], p["second"]) for p in found["pairs"]] == [
        ("wordlist", "wordlist rules=both"),
        ("wordlist", "random"),
        ("wordlist rules=both", "random"),
    ]
    apart = found["pairs"][1]
    assert apart["both"] == 0  # `random` masks other words
    assert apart["kappa"] < 0
    assert len(apart["examples"]) == 2
    rows = list(csv.DictReader(io.StringIO(_run(*args, "--csv").stdout)))
    assert len(rows) == 3
    for row, pair in zip(rows, found["pairs"], strict=True):
        assert row["first"] == pair["first"]
        assert float(row["kappa"]) == pytest.approx(pair["kappa"])


def test_compare_the_maskers_of_a_spec(tmp_path: Path) -> None:
    spec = tmp_path / "mine.yaml"
    spec.write_text(
        "model: smollm2-135m\ncorpus: embedded\nsource: [religion, gender]\n"
        "masker:\n"
        "  - {use: wordlist, as: harm words, rules: harm}\n"
        "  - all\n"
        "debiaser: mlm-unlearning\nevaluators: [embedded-pairs]\n"
    )
    found = json.loads(_run("--compare", "--spec", str(spec), "--json").stdout)
    assert list(found["maskers"]) == ["harm words", "all"]
    assert found["domain"] == "religion"
    named = _run("--compare", "harm words", "random", "--spec", str(spec), "--json")
    assert list(json.loads(named.stdout)["maskers"]) == ["harm words", "random"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("wordlist",), "needs --compare"),
        (("--csv",), "needs --compare"),
        (("--compare", "wordlist"), "two maskers"),
        (("--compare",), "two maskers"),
        (("--compare", "wordlist", "wordlist"), "named twice"),
        (("--compare", "wordlist", "randm"), "did you mean 'random'"),
        (("--compare", "random", "wordlist rules=slurs"), "--compare wordlist:"),
        (("--compare", "random", "wordlist rules"), "KEY=VALUE"),
        (("--compare", "random", 'wordlist "rules'), "No closing quotation"),
        (("--compare", "random", "all", "--set", "x=1"), "do not go with --compare"),
        (("--compare", "random", "all", "--masker", "all"), "do not go with --compare"),
    ],
)
def test_mistakes_in_a_comparison_are_one_line(args: tuple[str, ...], told: str) -> None:
    assert told in _fails(*args)


def test_own_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "text,part\nThe women [of the town] wait.,train\nThree girls sing.,test\n", "utf-8"
    )
    settings = [f"path={path}", "split=part", "domain_value=gender"]
    options = [option for setting in settings for option in ("--corpus-set", setting)]
    result = _run("--corpus", "file", *options)
    assert result.exit_code == 0
    assert "The [women] [of the town] wait." in result.stdout
    assert "girls" not in result.stdout


def test_highlight_is_safe_and_complete() -> None:
    text = "A \x1b[31mred\n[b]woman[/b] waits."
    start = text.index("woman")
    answer = MaskedPassage(
        passage=Passage(id="p", text=text, domain="gender", label="hateful", split="train"),
        spans=(Span(start=start, end=start + 5, kind="attribute", reason="x"),),
    )
    shown = highlighted(answer)
    assert shown.plain == "A \ufffd[31mred [b][woman][/b] waits."
    (style,) = shown.spans
    assert shown.plain[style.start : style.end] == "[woman]"


@pytest.mark.parametrize("width", [20, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    text = "The women " + "wait and " * 30 + "leave."
    answer = MaskedPassage(
        passage=Passage(id="p", text=text, domain="gender", label="hateful", split="train"),
        spans=(Span(start=4, end=9, kind="attribute", reason="a rule with a rather long name"),),
    )
    console = Terminal(width=width, record=True, file=io.StringIO())
    print_masked(console, [answer])
    lines = console.export_text().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert " ".join(" ".join(lines).split()).count("wait and") == 30


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from harness.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['mask', '--help']).exit_code == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'openai'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -- gaps ------------------------------------------------------------------------------------


def _tiny_spec(folder: Path, kind: ModelKind) -> str:
    save_tiny_model(folder / "model", kind)
    spec = folder / "spec.yaml"
    spec.write_text(
        f"model: {{use: hf, id: {folder / 'model'}, as: tiny}}\ncorpus: embedded\n"
        "source: gender\nmasker: wordlist\ndebiaser: identity\nevaluators: embedded-pairs\n",
        "utf-8",
    )
    return str(spec)


def test_gap_shows_both_log_probabilities_of_each_masked_word(tmp_path: Path) -> None:
    spec = _tiny_spec(tmp_path, "causal")
    found = json.loads(_run("--gap", "--spec", spec, "--limit", "3", "--json").stdout)
    ids = [answer["passage"]["id"] for answer in found["passages"]]
    assert [row["passage"] for row in found["gaps"]] == ids
    for row in found["gaps"]:
        assert row["gap"] == row["full"] - row["prefix"]
        assert row["candidates"] == 16
        assert row["full"] < 0.0
    shown = _run("--gap", "--spec", spec, "--limit", "3").stdout
    assert "Masked words in nats" in shown
    for row in found["gaps"]:
        assert f"{row['gap']:+.2f}" in shown


def test_gap_needs_a_causal_model_and_a_single_masker(tmp_path: Path) -> None:
    spec = _tiny_spec(tmp_path, "masked")
    assert "--gap: 'tiny' is a masked model" in _fails("--gap", "--spec", spec, "--limit", "1")
    assert "--gap does not go with --compare" in _fails("--gap", "--compare", "wordlist", "random")
    assert _fails("--model", "hf") == "--model needs --gap"
