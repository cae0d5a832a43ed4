"""lm-evaluation-harness tasks over local files: answers, numbers, keys, mistakes."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_evaluators.crows_pairs import CrowsPairs, CrowsPairsConfig
from harness_evaluators.lm_eval_tasks import LmEval, LmEvalConfig, Task, _digest

from harness.data.places import DataStore
from harness.errors import DataError
from harness.lm.handle import LanguageModel
from harness.testing import check_evaluator
from harness.types import EvaluationRequest, no_progress

CHOICE = """\
task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}} "
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metadata: {{version: 2.0}}
"""
PAIRS = """\
task: local_pairs
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: !function local_pairs.choices
target_delimiter: ""
process_results: !function local_pairs.results
metric_list:
  - {{metric: pct_stereotype, aggregation: mean, higher_is_better: false}}
"""
PAIRS_CODE = """\
def choices(doc):
    return [doc["more"], doc["less"]]


def results(doc, answers):
    more, less = (answer[0] for answer in answers)
    return {"pct_stereotype": float(more > less)}
"""
ROLLING = """\
task: local_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: word_perplexity
"""
ANSWER = """\
task: local_answer
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{text}}}}"
doc_to_target: "{{{{target}}}}"
generation_kwargs: {{until: ["zzz"], max_gen_toks: 3}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""
TEXTS = ["women wait near the old station", "men come back in early spring", "nurses wait"]


@pytest.fixture(autouse=True)
def _own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """A folder with four tasks and their data."""
    folder = tmp_path_factory.mktemp("tasks")

    def write(name: str, task: str, rows: list[dict[str, Any]]) -> None:
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        (folder / f"{name}.yaml").write_text(task.format(data=data), "utf-8")

    choices = ["women wait", "men wait near the station", "girls"]
    write(
        "local_choice",
        CHOICE,
        [{"question": t, "choices": choices, "answer": k % 3} for k, t in enumerate(TEXTS)],
    )
    store = DataStore(data_dir=shared_data, offline=True)
    pairs = CrowsPairs(CrowsPairsConfig()).pairs(pairs_request(store))["gender"]
    write("local_pairs", PAIRS, [{"more": pair.more, "less": pair.less} for pair in pairs])
    (folder / "local_pairs.py").write_text(PAIRS_CODE, "utf-8")
    write("local_rolling", ROLLING, [{"text": text} for text in TEXTS])
    write("local_answer", ANSWER, [{"text": text, "target": "never"} for text in TEXTS])
    return folder


def pairs_request(data: DataStore) -> Any:
    from harness.types import ItemsRequest

    return ItemsRequest(domains=("gender",), limit=6, data=data)


def run(
    model: LanguageModel, tasks: Path, *names: str, limit: int | None = None, **config: Any
) -> list[Any]:
    plugin = LmEval(LmEvalConfig(tasks=names, include_path=str(tasks), **config))
    request = EvaluationRequest(
        model=model,
        domains=("gender",),
        limit=limit,
        data=DataStore(offline=True),
        progress=no_progress,
    )
    return list(plugin.evaluate(request))


def test_multiple_choice_is_decided_by_the_sums(tiny_causal: LanguageModel, tasks: Path) -> None:
    (measurement,) = run(tiny_causal, tasks, "local_choice")
    assert measurement.domain == "none"
    choices = ["women wait", "men wait near the station", "girls"]
    for number, (text, item) in enumerate(zip(TEXTS, measurement.items, strict=True)):
        scores = [
            tiny_causal.continuation_scores([text], [f" {choice}"])[0].logprobs.sum()
            for choice in choices
        ]
        assert item.values["acc"] == float(int(np.argmax(scores)) == number % 3)
    metrics = {metric.name: metric for metric in measurement.metrics}
    assert metrics["acc"].value == np.mean([i.values["acc"] for i in measurement.items])
    assert metrics["acc"].role == "language"


def test_its_crows_pairs_numbers_are_ours(
    smollm2: LanguageModel, tasks: Path, data_store: DataStore
) -> None:
    (theirs,) = run(smollm2, tasks, "local_pairs", task_domains={"local_pairs": "gender"})
    ours = CrowsPairs(CrowsPairsConfig(scorers=("lmeval_sum",)))
    (measured,) = ours.evaluate(
        EvaluationRequest(
            model=smollm2,
            domains=("gender",),
            limit=6,
            data=data_store,
            progress=no_progress,
        )
    )
    decisions = [item.values["prefers_stereotype"] for item in measured.items]
    assert [item.values["pct_stereotype"] for item in theirs.items] == decisions
    (metric,) = theirs.metrics
    score = next(own for own in measured.metrics if own.name == "stereotype_score")
    assert theirs.domain == "gender"
    assert (metric.value, metric.numerator) == (score.value, score.numerator)
    assert metric.role == "bias"


def test_rolling_perplexity_counts_every_token_once(
    tiny_causal: LanguageModel, tasks: Path
) -> None:
    (measurement,) = run(tiny_causal, tasks, "local_rolling")
    nats = -sum(
        float(scores.logprobs.sum())
        for scores in tiny_causal.token_scores(TEXTS, start=tiny_causal.bos_id)
    )
    words = sum(len(text.split()) for text in TEXTS)
    (metric,) = measurement.metrics
    assert metric.value == pytest.approx(math.exp(nats / words), rel=1e-4)


def test_what_is_longer_than_the_context_is_cut_as_lm_eval_does(
    tiny_causal: LanguageModel,
) -> None:
    """The last token is not run, so a window has room for one more than the context."""
    from harness_evaluators.lm_eval_model import HandleLM
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=tiny_causal.module, tokenizer=tiny_causal.tokenizer)
    ours = HandleLM(tiny_causal, greedy=True)
    long = " ".join(TEXTS * 40)
    (said,) = tiny_causal.generate(["women"], max_new_tokens=2)
    asked = [("", " wait"), ("women", said), ("women wait ", "near"), (long, " near the station")]
    requests = [Instance("loglikelihood", {}, pair, 0) for pair in asked]
    answers = theirs.loglikelihood(requests, disable_tqdm=True)
    found = ours.loglikelihood(requests)
    assert [score for score, _ in found] == pytest.approx([a[0] for a in answers], abs=1e-4)
    assert [greedy for _, greedy in found] == [a[1] for a in answers]
    assert answers[1][1], "what the model generates is greedy"
    whole = [Instance("loglikelihood_rolling", {}, (long,), 0)]
    assert ours.loglikelihood_rolling(whole) == pytest.approx(
        theirs.loglikelihood_rolling(whole, disable_tqdm=True), rel=1e-6
    )


def test_each_filter_of_a_task_has_a_value_of_its_own(
    tiny_causal: LanguageModel, tasks: Path
) -> None:
    """As in GSM8K, whose answers are read in a strict and in a flexible way."""
    filters = """\
filter_list:
  - name: strict
    filter: [{function: regex, regex_pattern: (qz)}, {function: take_first}]
  - name: flexible
    filter: [{function: regex, regex_pattern: (qz), fallback: never}, {function: take_first}]
"""
    text = (tasks / "local_answer.yaml").read_text().replace("local_answer\n", "two_filters\n")
    (tasks / "two_filters.yaml").write_text(text + filters, "utf-8")
    (measurement,) = run(tiny_causal, tasks, "two_filters")
    assert len(measurement.items) == len(TEXTS)
    metrics = {metric.name: metric for metric in measurement.metrics}
    assert {name: metric.value for name, metric in metrics.items()} == {
        "exact_match_strict": 0.0,
        "exact_match_flexible": 1.0,
    }
    assert [name for name, metric in metrics.items() if metric.primary] == ["exact_match_strict"]


def test_generation_is_compared_with_the_target(
    tiny_causal: LanguageModel, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (measurement,) = run(tiny_causal, tasks, "local_answer", limit=2)
    assert [item.values for item in measurement.items] == [{"exact_match": 0.0}] * 2
    assert "%|" not in capsys.readouterr().err, "progress bars belong to the harness"


def test_it_keeps_the_contract(tiny_causal: LanguageModel, tasks: Path) -> None:
    config = {"tasks": ["local_choice", "local_rolling"], "include_path": str(tasks)}
    check_evaluator(LmEval, config, model=tiny_causal)


def test_the_key_holds_version_data_and_code_and_no_place(tasks: Path, tmp_path: Path) -> None:
    import shutil

    def key(folder: Path) -> Any:
        config = LmEvalConfig(tasks=("local_pairs",), include_path=str(folder))
        return LmEval(config).fingerprint(DataStore(offline=True))

    moved = tmp_path / "moved"
    shutil.copytree(tasks, moved)
    text = (moved / "local_pairs.yaml").read_text().replace(str(tasks), str(moved))
    (moved / "local_pairs.yaml").write_text(text)
    before = key(moved)
    assert before == key(tasks)
    for name in ("local_pairs.py", "local_pairs.jsonl"):
        changed = tmp_path / name.replace(".", "_")
        shutil.copytree(moved, changed)
        for file in changed.glob("*.yaml"):
            file.write_text(file.read_text().replace(str(moved), str(changed)))
        (changed / name).write_text((changed / name).read_text() + "\n")
        assert key(changed) != before, name


def test_a_task_that_is_edited_is_read_again(tiny_causal: LanguageModel, tmp_path: Path) -> None:
    """A notebook runs a task, edits it and runs it again: the key and the numbers are new."""
    data = tmp_path / "edited.jsonl"
    data.write_text(json.dumps({"text": TEXTS[0], "target": "never"}) + "\n")
    task = tmp_path / "edited.yaml"
    found = []
    for regex in ("qz", "."):
        filters = f'filter: [{{function: regex, regex_pattern: "({regex})", fallback: never}}, '
        task.write_text(
            ANSWER.format(data=data).replace("local_answer", "edited")
            + f"filter_list:\n  - name: only\n    {filters}{{function: take_first}}]\n"
        )
        (measurement,) = run(tiny_causal, tmp_path, "edited")
        plugin = LmEval(LmEvalConfig(tasks=("edited",), include_path=str(tmp_path)))
        key = json.dumps(plugin.fingerprint(DataStore(offline=True)))
        found.append((measurement.metrics[0].value, key))
    assert [value for value, _ in found] == [1.0, 0.0]
    assert found[0][1] != found[1][1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tasks": ("local_choise",)}, r"lm-eval has no task 'local_choise'; did you mean"),
        ({"tasks": ("mmlu",)}, "lm-eval's 'mmlu' is not a single task"),
        ({"tasks": ("x",), "include_path": "/nowhere"}, "include_path /nowhere is not a folder"),
    ],
)
def test_mistakes_are_one_line(config: dict[str, Any], message: str, tasks: Path) -> None:
    plugin = LmEval(LmEvalConfig(**{"include_path": str(tasks), **config}))
    with pytest.raises(DataError, match=message) as caught:
        plugin.fingerprint(DataStore(offline=True))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"question": "half \\ud83d", "choices": ["a", "b"], "answer": 0}',
        '{"questio": "a"}',
        "{",
    ],
    ids=["empty", "half of a character", "another column", "cut"],
)
def test_bad_data_of_a_task_is_one_line_that_names_its_files(
    tiny_causal: LanguageModel, tmp_path: Path, content: str
) -> None:
    """lm-eval, datasets and templates raise whatever they like: a StopIteration, a jinja error."""
    data = tmp_path / "bad.jsonl"
    data.write_text(f"{content}\n" if content else "")
    (tmp_path / "bad.yaml").write_text(CHOICE.format(data=data).replace("local_choice", "bad_task"))
    with pytest.raises(DataError, match="lm-eval task 'bad_task': ") as caught:
        run(tiny_causal, tmp_path, "bad_task")
    assert f"check its files ({tmp_path / 'bad.yaml'}, {data})" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bug_of_ours_in_a_task_keeps_its_trace(
    tiny_causal: LanguageModel, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise TypeError("a bug")

    monkeypatch.setattr(type(tiny_causal), "encode", broken)
    with pytest.raises(TypeError, match="a bug"):
        run(tiny_causal, tasks, "local_choice")


def test_a_task_whose_data_is_on_a_hub_says_so(
    tiny_causal: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    text = CHOICE.format(data="x").replace("dataset_path: json", "dataset_path: nobody/nothing")
    lines = [line for line in text.splitlines() if not line.startswith("dataset_kwargs")]
    (tmp_path / "hub.yaml").write_text("\n".join(lines).replace("local_choice", "hub_task"))
    with pytest.raises(DataError, match=r"lm-eval task 'hub_task': .*needs the network") as caught:
        run(tiny_causal, tmp_path, "hub_task")
    assert "\n" not in str(caught.value)


def test_local_data_is_known_wherever_it_is_named(tmp_path: Path) -> None:
    """Two files of one name, a pattern, and a folder in place of a data set's name."""

    def task(**config: Any) -> Task:
        return Task("t", config, None)

    files = [tmp_path / part / "data.jsonl" for part in ("train", "test")]
    for number, path in enumerate(files):
        path.parent.mkdir()
        path.write_text(f"{number}\n")
    named = {"data_files": {path.parent.name: str(path) for path in files}}
    tasks = [
        task(dataset_path="json", dataset_kwargs=named),
        task(dataset_path="json", dataset_kwargs={"data_files": f"{tmp_path}/*/*.jsonl"}),
        task(dataset_path=str(tmp_path)),
        task(dataset_path="json", dataset_kwargs={"data_dir": str(tmp_path)}),
    ]
    before = [_digest(one) for one in tasks]
    for path in files:
        whole = path.read_text()
        path.write_text("other\n")
        assert all(_digest(one) != old for one, old in zip(tasks, before, strict=True)), path
        path.write_text(whole)
    assert [_digest(one) for one in tasks] == before


def test_a_pipe_among_the_tasks_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    plugin = LmEval(LmEvalConfig(tasks=("x",), include_path=str(tmp_path)))
    with pytest.raises(DataError, match=r"x\.yaml is not a file; remove it"):
        plugin.fingerprint(DataStore(offline=True))
