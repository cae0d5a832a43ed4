"""What a method cannot do costs its own cells one line; the others are measured, and every table
says what failed and why. One small spec over a causal and a masked model, run once."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from neutral_text import neutral_csv

import harness.plugins
from harness.cli.main import cli
from harness.families import Debiaser, PluginConfig
from harness.hookspecs import hookimpl
from harness.plugins import Origin, Registry, build_registry
from harness.storage.store import Store
from harness.testing import save_tiny_model
from harness.types import Checkpoint, DebiasRequest

CAUSAL, MASKED = "causal-tiny", "masked-tiny"

CELLS = {
    # method: (spec entry, source, what is said of it)
    "no-list": ({"use": "cda"}, "disability", "no word list for domain 'disability'"),
    "no-pair": ({"use": "dpo"}, "disability", "no word list for domain 'disability'"),
    "no-word": ({"use": "cda"}, "religion", "holds an attribute word of 'religion'"),
    "no-mention": ({"use": "sentence-debias"}, "religion", "0 sentences hold an attribute word"),
    "few": ({"use": "inlp", "min_sentences": 500}, "gender", "too few sentences about 'gender'"),
    "no-class": ({"use": "leace"}, "religion", "too few sentences about 'religion'"),
    "deep": ({"use": "leace", "min_sentences": 4, "layer": 7}, "gender", "layers 0 to 2, not 7"),
    "wild": (
        {"use": "gradient-ascent", "learning_rate": 1e30, "optimizer": "sgd"},
        "gender",
        "diverged at step",
    ),
}
FINE = {
    "mlm-unlearning": {"use": "mlm-unlearning", "learning_rate": 1e-2},
    "identity": {"use": "identity"},
}
ONE_KIND = {
    "of-causal": (CAUSAL, "works on causal models; "),
    "of-masked": (MASKED, "works on masked models; "),
}


class OfCausal(Debiaser[PluginConfig]):
    """Changes the weights of models of one kind."""

    name = "of-causal"
    summary = "For causal models alone."
    reference = "tests"
    inputs = frozenset()
    stepwise = False
    kinds = frozenset({"causal"})

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        import torch

        with torch.no_grad():
            for weight in request.model.module.parameters():
                weight.mul_(1.01)
        yield Checkpoint(1, request.model, {})


class OfMasked(OfCausal):
    """The same for the other kind."""

    name = "of-masked"
    summary = "For masked models alone."
    kinds = frozenset({"masked"})


class OneKind:
    """The module-like object that offers them."""

    @hookimpl
    def harness_debiasers(self) -> list[type[Debiaser[Any]]]:
        return [OfCausal, OfMasked]


def registry() -> Registry:
    """The built-in plugins and the two of above."""
    import harness_corpora.hooks
    import harness_debiasers.hooks
    import harness_evaluators.hooks
    import harness_maskers.hooks
    import harness_models.hooks

    own = Origin("tests", "tests", "1")
    modules = (
        harness_corpora.hooks,
        harness_debiasers.hooks,
        harness_evaluators.hooks,
        harness_maskers.hooks,
        harness_models.hooks,
        OneKind(),
    )
    return build_registry([(module, own) for module in modules], strict=True)


def raw_spec(folder: Path) -> dict[str, Any]:
    neutral = neutral_csv(folder)
    debiasers: list[dict[str, Any]] = [
        {**entry, "as": label, "sources": [source]} for label, (entry, source, _) in CELLS.items()
    ]
    for label, entry in FINE.items():
        debiasers.append({**entry, "as": label, "sources": ["gender"]})
    debiasers += [{"use": label, "sources": ["gender"]} for label in ONE_KIND]
    passages = folder / "passages.csv"
    with passages.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "domain", "split"])
        for domain, who in (("gender", "women"), ("religion", "muslims"), ("disability", "deaf")):
            rows.writerows(
                [f"The {who} people sold {what} too.", domain, split]
                for split in ("train", "test")
                for what in ("bread", "rope", split)
            )
    file = {"use": "file", "label_value": "hateful", "split": "split", "domain": "domain"}
    return {
        "name": "bad",
        "model": [
            {"use": "hf", "as": CAUSAL, "id": str(save_tiny_model(folder / "causal"))},
            {"use": "hf", "as": MASKED, "id": str(save_tiny_model(folder / "masked", "masked"))},
        ],
        "corpus": {**file, "path": str(passages)},
        "source": ["gender", "religion", "disability"],
        "masker": "wordlist",
        "neutral": {
            "use": "file",
            "path": str(neutral),
            "label_value": "non-hateful",
            "domain_value": "none",
        },
        "debiaser": debiasers,
        "evaluators": ["embedded-pairs"],
        "targets": ["gender"],
        "steps": [2],
        "limits": {"items": 4},
    }


class Done(NamedTuple):
    """A run that is over: what was printed, and where it lies."""

    output: str
    code: int
    folder: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("bad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness.plugins, "load_registry", lambda **options: registry())
        spec = folder / "bad.yaml"
        spec.write_text(json.dumps(raw_spec(folder)), "utf-8")  # JSON is YAML
        result = invoke("run", spec, "--results", folder / "runs")
        yield Done(result.output, result.exit_code, folder / "runs" / "bad")


def invoke(*words: object) -> Any:
    arguments = ["--offline", *map(str, words)]
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "400"})


def expected() -> dict[tuple[str, str], str]:
    """Reason of every cell that fails, by model and method."""
    found = {(model, label): CELLS[label][2] for model in (CAUSAL, MASKED) for label in CELLS}
    for label, (kind, said) in ONE_KIND.items():
        found[MASKED if kind == CAUSAL else CAUSAL, label] = said
    return found


def test_the_run_goes_on_and_ends_with_its_own_code(done: Done) -> None:
    assert done.code == 9, done.output
    assert "Traceback" not in done.output
    store = Store(done.folder)
    reasons = {}
    for cell in store.index().cells:
        if cell.debiaser is None:
            continue
        (ref,) = (ref for ref in cell.measures if ref.step)
        failure = store.failure(ref.key)
        assert (failure is None) == (store.record(ref.key) is not None)
        if failure is not None:
            assert failure.trace is None, failure  # foreseen: no bug
            reasons[cell.model, cell.debiaser] = failure.reason
    assert reasons.keys() == expected().keys()
    for key, words in expected().items():
        assert words in reasons[key], key
        assert "\n" not in reasons[key]


def says_why(text: str, *, by_cell: bool = True) -> None:
    """Each reason stands in a text, on a line with its method where asked."""
    for (model, label), words in expected().items():
        lines = [line for line in text.splitlines() if words in line]
        assert lines, (model, label)
        if by_cell:
            assert any(label in line and model in line for line in lines), (model, label)


@pytest.mark.parametrize("command", ["matrix", "leaderboard"])
def test_tables_on_the_console_say_why(done: Done, command: str) -> None:
    result = invoke(command, done.folder)
    assert result.exit_code == 0, result.output
    says_why(result.output, by_cell=False)
    store = Store(done.folder)
    failures = [store.failure(ref.key) for cell in store.index().cells for ref in cell.measures]
    for reason in {failure.reason for failure in failures if failure is not None}:
        assert len([line for line in result.output.splitlines() if reason in line]) == 1, reason
    assert "mlm-unlearning" in result.output
    for label in CELLS:
        assert any(re.search(rf"{label} .*failed", line) for line in result.output.splitlines())


def test_rows_stand_below_the_base_of_their_model(done: Done) -> None:
    options = ("--scorer", "hf_nll", "--metric", "stereotype_score")
    text = invoke("matrix", done.folder, *options).output
    causal, masked = text.split(f"{MASKED} (base)")
    for part in (causal.split(f"{CAUSAL} (base)")[1], masked):
        assert len(re.findall(r"disability .* failed", part)) == 2  # no-list and no-pair
    # scorers of the other kind of model are not missed in the leaderboard
    assert " of 2 scores are measured" not in invoke("leaderboard", done.folder).output


def test_the_progress_said_why(done: Done) -> None:
    says_why(done.output, by_cell=False)


@pytest.mark.parametrize("format", ["markdown", "latex", "csv", "json"])
def test_exports_say_why(done: Done, format: str, tmp_path: Path) -> None:
    result = invoke("export", done.folder, "--format", format, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "out").read_text("utf-8")
    if format == "json":
        says_why(json.dumps(json.loads(text)), by_cell=False)
    elif format == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        for (model, label), words in expected().items():
            own = [r for r in rows if (r["model"], r["debiaser"]) == (model, label)]
            assert any(words in row["failed_reason"] for row in own)
    else:
        says_why(text.replace("\\_", "_"), by_cell=format == "markdown")


def test_the_page_says_why(done: Done, tmp_path: Path) -> None:
    import html

    result = invoke("report", done.folder, "--out", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    text = html.unescape((tmp_path / "page.html").read_text("utf-8"))
    says_why(text)
