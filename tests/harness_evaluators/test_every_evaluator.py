"""Promises that every registered evaluator keeps: a new one is covered without an edit here.

An evaluator that cannot be made without settings, or takes long with its defaults, has them in
`settings`. Every config is also made with all of its protocols.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from byte_model import byte_model, frequency_model
from harness_evaluators.scorers import SCORERS

from harness.data.pins import Pin, check
from harness.data.places import DataStore
from harness.errors import DataError, HarnessError, ModelError
from harness.families import Evaluator
from harness.lm.handle import LanguageModel
from harness.plugins import load_registry
from harness.quantities import LogProb
from harness.running.experiment import Experiment
from harness.testing import check_evaluator, sample_masked, sample_passages, save_tiny_model
from harness.types import (
    EvaluationRequest,
    ItemsRequest,
    ItemTexts,
    MaskedPassage,
    Measurement,
    no_progress,
)

EVALUATORS: dict[str, type[Evaluator[Any]]] = {
    entry.name: entry.plugin for entry in load_registry(strict=True) if entry.family == "evaluator"
}
PINNED = [name for name, cls in EVALUATORS.items() if cls.pins]

TASK = """\
task: every_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["yes", "no"]
doc_to_target: 0
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """What some evaluators need, or need to be quick."""
    folder = tmp_path_factory.mktemp("own")
    rows = [
        {
            "more": f"They are late, {number} times.",
            "less": f"We are late, {number} times.",
            "stereotype": f"They are late, {number} times.",
            "antistereotype": f"They are early, {number} times.",
            "unrelated": f"They are seven, {number} times.",
            "question": f"Is it {number}?",
        }
        for number in range(9)
    ]
    for name in ("items.jsonl", "documents.jsonl"):
        (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "every.yaml").write_text(TASK.format(data=folder / "documents.jsonl"), "utf-8")
    own = {"path": str(folder / "items.jsonl"), "domain_value": "gender"}
    return {
        "pairs": own,
        "triples": own,
        "lm-eval": {"tasks": ["every_choice"], "include_path": str(tasks)},
        "blimp": {"per_paradigm": 4},
        "wikitext2-perplexity": {"max_windows": 2},
    }


@pytest.fixture(autouse=True)
def _own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return byte_model()


def create(name: str, settings: Mapping[str, Mapping[str, Any]], **more: Any) -> Evaluator[Any]:
    cls = EVALUATORS[name]
    return cls(cls.Config.model_validate({**settings.get(name, {}), **more}))


def choices(annotation: Any) -> tuple[str, ...]:
    """The values of ``tuple[Literal[...], ...]``; none of any other annotation."""
    if get_origin(annotation) is not tuple:
        return ()
    (element, *_) = get_args(annotation)
    return get_args(element) if get_origin(element) is Literal else ()


def every_way(name: str, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Evaluator[Any]]:
    """The evaluator with all the protocols that its config knows: each list with all values, each
    choice of one in turn.
    """
    fields = EVALUATORS[name].Config.model_fields
    lists: dict[str, Any] = {
        field: list(choices(info.annotation))
        for field, info in fields.items()
        if choices(info.annotation)
    }
    if "scorers" in fields:
        lists["scorers"] = [
            scorer
            for scorer, own in SCORERS.items()
            if own.kind == "causal" and own.of_texts is not None
        ]
    yield create(name, settings, **lists)
    for field, info in fields.items():
        if get_origin(info.annotation) is not Literal:
            continue
        for value in get_args(info.annotation):
            if value != info.default:
                changes = {**lists, field: value}
                if value == "intersentence":  # it has a protocol of its own
                    del changes["scorers"]
                yield create(name, settings, **changes)


def domains_of(plugin: Evaluator[Any]) -> tuple[str, ...]:
    """Two of an evaluator's domains; gender where it has none of its own."""
    named = sorted(plugin.domains, key=lambda domain: (domain != "gender", domain))
    return tuple(named[:2]) or ("gender",)


def request(
    model: LanguageModel,
    plugin: Evaluator[Any],
    data: DataStore,
    limit: int = 3,
    domains: Sequence[str] | None = None,
) -> EvaluationRequest:
    asked = domains_of(plugin) if domains is None else tuple(domains)
    masked: list[MaskedPassage] = []
    for domain in asked if plugin.reads_masks else ():
        for label in ("hateful", "non-hateful"):
            masked += sample_masked(domain, label, "test")[:limit]
    neutral = [
        passage
        for domain in ("none", "gender", "race", "religion")
        for passage in sample_passages(domain, "non-hateful", "test")
    ]
    found = EvaluationRequest(
        model=model,
        domains=asked,
        limit=limit,
        unlearned=sample_passages(asked[0]) if plugin.reads_source else (),
        unseen=sample_passages(asked[0], split="test") if plugin.reads_source else (),
        neutral=tuple(neutral) if plugin.reads_neutral else (),
        masked=tuple(masked),
        data=data,
        progress=no_progress,
    )
    return found.model_copy(update={"remembered": plugin.remember(found)})


def listed(plugin: Evaluator[Any], asked: EvaluationRequest) -> dict[str, ItemTexts]:
    own = {name: getattr(asked, name) for name in ItemsRequest.model_fields}
    return {item.id: item for item in plugin.items(ItemsRequest(**own))}


def named_values(measured: Sequence[Measurement]) -> dict[tuple[str, str, str, str], float]:
    return {
        (m.domain, m.protocol, item.id, name): value
        for m in measured
        for item in m.items
        for name, value in item.values.items()
    }


@pytest.mark.parametrize("name", EVALUATORS)
def test_it_keeps_the_contract(
    name: str, model: LanguageModel, data_store: DataStore, settings: Any
) -> None:
    """Metrics follow from items, decisions from scores, and `items` lists what is measured."""
    for plugin in every_way(name, settings):
        config = plugin.config.model_dump(mode="json")
        domains = domains_of(plugin)
        data = data_store
        measured = check_evaluator(
            type(plugin), config, model=model, domains=domains, limit=3, data=data
        )
        assert all(measurement.items for measurement in measured)


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_batch_gives_the_scores_of_one_text_at_a_time(
    name: str, model: LanguageModel, data_store: DataStore, settings: Any
) -> None:
    for plugin in every_way(name, settings):
        asked = request(model, plugin, data_store)
        model.forget_scores()
        together = named_values(plugin.evaluate(asked))
        with model.alone():
            alone = named_values(plugin.evaluate(asked))
        assert together
        assert together == pytest.approx(alone, abs=2e-3)


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_smaller_limit_draws_some_of_the_same_items(
    name: str, model: LanguageModel, data_store: DataStore, settings: Any
) -> None:
    for plugin in every_way(name, settings):
        few, many = (plugin.evaluate(request(model, plugin, data_store, limit)) for limit in (2, 4))
        for less, more in zip(few, many, strict=True):
            assert (less.domain, less.protocol) == (more.domain, more.protocol)
            small = {item.id: item.values.keys() for item in less.items}
            large = {item.id: item.values.keys() for item in more.items}
            assert small
            assert small.items() <= large.items()


@pytest.mark.parametrize("name", EVALUATORS)
def test_scores_are_what_arithmetic_gives(name: str, data_store: DataStore, settings: Any) -> None:
    """Of a model that gives each token one log-probability, all scores can be added up by hand.

    A log-probability that has the name of one of its item's texts is the sum or the mean over that
    text (a mean may leave out the first token), or over a letter that stands for it. Any other
    one cannot be checked by name.
    """
    known, table = frequency_model()
    for plugin in every_way(name, settings):
        asked = request(known, plugin, data_store)
        texts = listed(plugin, asked)
        for measurement in plugin.evaluate(asked):
            for item in measurement.items:
                own = texts[item.id].texts if item.id in texts else {}
                for value_name in item.values.keys() & own.keys():
                    quantity = measurement.quantities[value_name]
                    assert isinstance(quantity, LogProb)
                    found = item.values[value_name]
                    expected = by_hand(known, table, own[value_name], quantity.per)
                    if measurement.protocol in ("letter", "diff"):
                        letters = [
                            table[known.encode(letter)].sum() for letter in (" A", " B", " C")
                        ]
                        expected = [float(np.mean(letters))]
                    assert any(found == pytest.approx(e, abs=1e-4) for e in expected), (
                        measurement.protocol,
                        item.id,
                        value_name,
                    )


def by_hand(model: LanguageModel, table: Any, text: str, per: str) -> list[float]:
    """What the score of a text may be, with and without a space in front of it."""
    found = []
    for written in (text, f" {text}"):
        scores = table[model.encode(written)]
        found += [scores.sum()] if per == "text" else [scores.mean(), scores[1:].mean()]
    return [float(score) for score in found]


# -- bad input -------------------------------------------------------------------------------


def one_line(caught: pytest.ExceptionInfo[HarnessError]) -> str:
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", PINNED)
def test_missing_data_is_one_line(
    name: str, model: LanguageModel, tmp_path: Path, settings: Any
) -> None:
    plugin = create(name, settings)
    empty = DataStore(cache_dir=tmp_path, offline=True)
    with pytest.raises(DataError, match=plugin.reads()[0][0].name) as caught:
        plugin.evaluate(request(model, plugin, empty))
    assert "--data-dir" in one_line(caught)


@pytest.mark.parametrize("name", PINNED)
def test_altered_data_is_refused_in_one_line(
    name: str, model: LanguageModel, data_store: DataStore, tmp_path: Path, settings: Any
) -> None:
    plugin = create(name, settings)
    for pin, _ in plugin.reads():
        folder = tmp_path / pin.name
        for other, _ in plugin.reads():
            copy(other, data_store, folder)
        alter(pin, folder / pin.filename)
        altered = DataStore(data_dir=folder, cache_dir=tmp_path, offline=True)
        with pytest.raises(DataError) as caught:
            plugin.evaluate(request(model, plugin, altered))
        assert str(folder / pin.filename) in one_line(caught)


@pytest.mark.parametrize("content", [b"", b" \n\n \n", b"[]"], ids=["empty", "blank", "a list"])
@pytest.mark.parametrize("name", PINNED)
def test_a_file_with_nothing_in_it_is_one_line_that_names_it(
    name: str, content: bytes, data_store: DataStore, tmp_path: Path, settings: Any
) -> None:
    """Also where the user's own version is allowed: nothing was measured, which is no result."""
    model = byte_model()
    named = {**settings.get(name, {}), "path": str(tmp_path), "verify": False}
    plugin = EVALUATORS[name](EVALUATORS[name].Config(**named))
    for pin, _ in plugin.reads():
        copy(pin, data_store, tmp_path)
        for file in [tmp_path / pin.filename / part.filename for part in pin.files]:
            file.write_bytes(content)
        if not pin.files:
            (tmp_path / pin.filename).write_bytes(content)
    if content == b"[]" and name == "wikitext2-perplexity":
        return  # a text like any other
    with pytest.raises(DataError) as caught:
        plugin.evaluate(request(model, plugin, data_store))
    assert str(tmp_path) in one_line(caught)


def test_a_text_without_a_token_to_score_is_one_line(data_store: DataStore, tmp_path: Path) -> None:
    (tmp_path / "wiki.test.raw").write_text("a")
    config = {"path": str(tmp_path / "wiki.test.raw"), "verify": False, "window": 16}
    plugin = EVALUATORS["wikitext2-perplexity"](EVALUATORS["wikitext2-perplexity"].Config(**config))
    with pytest.raises(DataError, match=r"'wikitext2' has 1 token\(s\).* nothing to measure"):
        plugin.evaluate(request(byte_model(), plugin, data_store))


def copy(pin: Pin, data: DataStore, folder: Path) -> None:
    source, target = data.locate(pin), folder / pin.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    for name in [part.filename for part in pin.files] or [""]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def alter(pin: Pin, path: Path) -> None:
    """Spell the words of the middle item the other way round, wherever they stand."""
    rows = check(pin, path).rows
    words = set(re.findall("[a-z]{4,}", " ".join(rows[len(rows) // 2])))
    for file in [path / part.filename for part in pin.files] or [path]:
        content = file.read_bytes()
        for word in words:
            content = content.replace(word.encode(), word[::-1].encode())
        file.write_bytes(content)


@pytest.mark.parametrize(
    "name", [name for name in PINNED if EVALUATORS[name].items != Evaluator.items]
)
def test_a_category_without_items_is_one_line(
    name: str,
    model: LanguageModel,
    data_store: DataStore,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The user's own version of a data set may lack a category."""
    monkeypatch.setattr("harness.families.verified", lambda *pin_and_path, verify: ())
    for plugin in every_way(name, settings):
        with pytest.raises(DataError) as caught:
            plugin.evaluate(request(model, plugin, data_store))
        assert name in one_line(caught)


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_tokenizer_that_merges_context_and_answer_is_one_line(
    name: str, data_store: DataStore, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluator that scores continuations refuses the model; the others do not mind."""
    merging = byte_model([(end, "Ġ") for end in "abcdefghijklmnopqrstuvwxyz.:?!'\""])
    scored = type(merging).continuation_scores
    calls = []

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return scored(self, *arguments, **options)

    monkeypatch.setattr(type(merging), "continuation_scores", counted)
    for plugin in every_way(name, settings):
        calls.clear()
        asked = request(merging, plugin, data_store)
        refusal = ""
        try:
            plugin.evaluate(asked)
        except ModelError as error:
            refusal = str(error)
        assert ("one token" in refusal) == bool(calls), refusal
        assert "\n" not in refusal


def test_a_run_goes_on_where_the_data_of_an_evaluator_is_missing(tmp_path: Path) -> None:
    """Each such cell keeps one line; the cells of the other evaluators are measured."""
    spec = {
        "name": "missing",
        "model": {
            "use": "hf",
            "id": str(save_tiny_model(tmp_path / "model")),
            "as": "tiny",
        },
        "corpus": "embedded",
        "source": "gender",
        "targets": ["gender"],
        "masker": "wordlist",
        "debiaser": "identity",
        "evaluators": [*PINNED, "embedded-pairs", "embedded-triples"],
        "steps": [1],
        "limits": {"items": 3, "passages": 4},
    }
    data = DataStore(cache_dir=tmp_path / "cache", offline=True)
    run = Experiment.from_mapping(
        spec, registry=load_registry(), data=data, folder=tmp_path / "run"
    )
    outcome = run.run()
    assert len(outcome.failures) == 2 * len(PINNED)  # of the base and of the fit
    assert not outcome.traces
    for _, reason in outcome.failures:
        assert "is not on this machine" in reason
        assert "\n" not in reason
    assert outcome.measured == 4
