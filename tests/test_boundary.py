"""A plugin that answers wrongly gets one line: plugin, distribution, version, method, field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_plugins import ToyModel

from harness import boundary
from harness.data.places import DataStore
from harness.errors import DebiasError, PluginCrashError, PluginError
from harness.families import Corpus, Debiaser, Evaluator, Masker, Model, PluginConfig
from harness.metrics import HIGHER, Item, Metric
from harness.plugins import Origin, Registered
from harness.types import (
    Checkpoint,
    DebiasRequest,
    EvaluationRequest,
    ItemsRequest,
    LoadRequest,
    MaskedPassage,
    MaskRequest,
    Measurement,
    Passage,
    PassageRequest,
    Span,
    no_progress,
)

ORIGIN = Origin("entry", "some-distribution", "4.5.6")
DATA = DataStore(cache_dir=Path("nowhere"), offline=True)
ASKED = ItemsRequest(domains=("gender",), data=DATA)
PASSAGES = tuple(
    Passage(id=str(i), text=f"text {i}", domain="gender", label="hateful", split="train")
    for i in range(3)
)


def answering(family: type[Any], method: str, answer: Callable[..., Any]) -> tuple[Any, Any]:
    """A plugin whose only method gives this answer, and its registration."""
    attributes = {
        "name": "wrong",
        "summary": "Answers what a test tells it to.",
        "reference": "tests",
        "evaluate": None,
        method: lambda self, *asked: answer(*asked),
    }
    cls = type("Wrong", (family,), attributes)
    return Registered(cls, ORIGIN), cls(PluginConfig())


def passages(answer: Any, **asked: Any) -> Any:
    return passages_of(*answering(Corpus, "passages", lambda request: answer), **asked)


def passages_of(entry: Any, plugin: Any, **asked: Any) -> Any:
    defaults = {"domain": "gender", "label": "hateful", "split": "train", "data": DATA}
    return boundary.read_passages(entry, plugin, PassageRequest(**{**defaults, **asked}))


def masks(answer: Any) -> Any:
    return masks_of(*answering(Masker, "mask", lambda request: answer))


def masks_of(entry: Any, plugin: Any) -> Any:
    request = MaskRequest(passages=PASSAGES, domain="gender", data=DATA, progress=no_progress)
    return boundary.mask_passages(entry, plugin, request)


def checkpoints(answer: Callable[[DebiasRequest], Any], kinds: Any = None) -> list[Checkpoint]:
    entry, plugin = answering(Debiaser, "debias", answer)
    if kinds:
        type(plugin).kinds = kinds
    request = DebiasRequest(
        model=ToyModel(), domain="gender", steps=(1, 2), data=DATA, progress=no_progress
    )
    return list(boundary.run_debiaser(entry, plugin, request))


def measurements(answer: Any, kinds: Any = None) -> Any:
    entry, plugin = answering(Evaluator, "evaluate", lambda request: answer)
    if kinds:
        type(plugin).kinds = kinds
    return measurements_of(entry, plugin)


def measurements_of(entry: Any, plugin: Any) -> Any:
    request = EvaluationRequest(
        model=ToyModel(),
        domains=("gender",),
        unlearned=(),
        unseen=(),
        data=DATA,
        progress=no_progress,
    )
    return boundary.measure(entry, plugin, request)


def measurement(domain: str = "gender", ids: tuple[str, ...] = ("a", "b")) -> Measurement:
    items = tuple(Item(id=own, values={"x": 1.0}) for own in ids)
    metric = Metric.of_items("m", items, estimator="mean", of=("x",), direction=HIGHER)
    return Measurement(domain=domain, protocol="p", metrics=(metric,), items=items)


def breach(call: Callable[[], object], family: str, method: str, *said: str) -> None:
    """The call raises one line that names everything, and says this."""
    with pytest.raises(PluginError) as caught:
        call()
    message = str(caught.value)
    expected = (
        f"{family} 'wrong' (entry point 'entry' of some-distribution 4.5.6) "
        f"broke its contract in {method}(): "
    )
    assert message.startswith(expected)
    assert "\n" not in message
    for part in said:
        assert part in message


def test_right_answers_pass_unchanged() -> None:
    assert passages(list(PASSAGES)) == PASSAGES
    answers = [MaskedPassage(passage=p, spans=()) for p in PASSAGES]
    assert masks(answers) == tuple(answers)
    model = ToyModel()
    steps = checkpoints(lambda request: iter([Checkpoint(1, model, {}), Checkpoint(2, model, {})]))
    assert [c.step for c in steps] == [1, 2]
    assert measurements([measurement()]) == (measurement(),)


@pytest.mark.parametrize("answer", [None, "text", 3, {"id": "x"}, iter(())])
def test_an_answer_that_is_no_list(answer: Any) -> None:
    kind = type(answer).__name__
    breach(lambda: passages(answer), "corpus", "passages", f"must return a list, not {kind}")


def test_a_wrong_field_is_named() -> None:
    row = {"id": "1", "text": "x", "domain": "gender", "label": "rude", "split": "train"}
    breach(lambda: passages([row]), "corpus", "passages", "answer[0.label]", "'hateful'")
    breach(lambda: passages([{**row, "label": "hateful", "text": ""}]), "corpus", "passages",
           "answer[0.text]")  # fmt: skip
    breach(lambda: passages([{**row, "label": "hateful", "mood": 1}]), "corpus", "passages",
           "answer[0.mood]")  # fmt: skip
    breach(lambda: passages([*PASSAGES, 7]), "corpus", "passages", "answer[3]")
    breach(lambda: masks([3, 4, 5]), "masker", "mask", "answer[0]")
    breach(lambda: measurements(["x"]), "evaluator", "evaluate", "answer[0]")


def test_blank_passage() -> None:
    row = {"id": "1", "text": "  ", "domain": "gender", "label": "hateful", "split": "train"}
    breach(lambda: passages([row]), "corpus", "passages", "passage '1' has a blank text")


@pytest.mark.parametrize("asked", [{"domain": "race"}, {"label": "non-hateful"}, {"split": "test"}])
def test_passages_of_something_else(asked: dict[str, str]) -> None:
    wanted = {"domain": "gender", "label": "hateful", "split": "train", **asked}
    breach(
        lambda: passages(PASSAGES, **asked),
        "corpus",
        "passages",
        "passage '0' is gender/hateful/train, asked for " + "/".join(wanted.values()),
    )


def test_passage_twice_and_too_many() -> None:
    breach(lambda: passages([PASSAGES[0]] * 2), "corpus", "passages", "id '0' appears twice")
    breach(lambda: passages(PASSAGES, limit=2), "corpus", "passages", "gave 3 passages, limit 2")


def test_masks_for_each_passage_in_order() -> None:
    answers = [MaskedPassage(passage=p, spans=()) for p in PASSAGES]
    breach(lambda: masks(answers[:2]), "masker", "mask", "gave 2 answers for 3 passages")
    breach(lambda: masks(answers[::-1]), "masker", "mask", "changed or reordered passage '0'")
    changed = PASSAGES[1].model_copy(update={"text": "another text"})
    answers[1] = MaskedPassage(passage=changed, spans=())
    breach(lambda: masks(answers), "masker", "mask", "changed or reordered passage '1'")


@pytest.mark.parametrize(
    "spans", [[(0, 99)], [(3, 3)], [(2, 4), (0, 1)], [(0, 3), (2, 4)]],
    ids=["leaves the text", "empty", "out of order", "overlap"],
)  # fmt: skip
def test_spans_that_do_not_fit(spans: list[tuple[int, int]]) -> None:
    made = [Span(start=s, end=e, kind="k", reason="r").model_dump() for s, e in spans]
    answers = [{"passage": p, "spans": made if i == 1 else ()} for i, p in enumerate(PASSAGES)]
    breach(lambda: masks(answers), "masker", "mask", "answer[1]", "of passage '1' is out of order")


def test_debiaser_must_iterate_over_the_steps_asked_for() -> None:
    model = ToyModel()

    def steps(*numbers: int) -> Callable[[DebiasRequest], Iterator[Checkpoint]]:
        return lambda request: iter([Checkpoint(n, model, {}) for n in numbers])

    where = ("debiaser", "debias")
    breach(lambda: checkpoints(lambda r: [1]), *where, "must return an iterator of Checkpoint")
    breach(lambda: checkpoints(lambda r: iter(["x"])), *where, "yielded str, not a Checkpoint")
    breach(lambda: checkpoints(steps(2)), *where, "yielded step 2, expected 1")
    breach(lambda: checkpoints(steps(1)), *where, "ended before step 2")
    breach(lambda: checkpoints(steps(1, 2, 3)), *where, "yielded step 3, expected None")
    no_model: Any = "weights"
    breach(
        lambda: checkpoints(lambda r: iter([Checkpoint(1, no_model, {})])),
        *where,
        "Checkpoint.model is str, not a LanguageModel",
    )


def test_kind_of_model_is_asked_before_the_plugin_is() -> None:
    def never(request: DebiasRequest) -> Any:
        raise AssertionError("was called")

    with pytest.raises(DebiasError, match="'wrong' works on masked models; 'toy' is a causal one"):
        checkpoints(never, kinds=frozenset({"masked"}))
    with pytest.raises(PluginError, match="'wrong' works on masked models; 'toy' is a causal one"):
        measurements([measurement()], kinds=frozenset({"masked"}))


def test_measurements() -> None:
    where = ("evaluator", "evaluate")
    breach(lambda: measurements([]), *where, "gave no measurement")
    breach(lambda: measurements([measurement()] * 2), *where, "measured gender / p twice")
    breach(
        lambda: measurements([measurement(ids=("a", "a"))]),
        *where,
        "item ids of gender / p are not unique",
    )
    empty = measurement().model_copy(update={"items": (), "metrics": ()})
    breach(
        lambda: measurements([measurement("none"), empty]),
        *where,
        "gave neither items nor metrics of gender / p",
    )


def test_measurements_must_be_of_domains_asked_for() -> None:
    breach(
        lambda: measurements([measurement("race")]),
        "evaluator",
        "evaluate",
        "measured domain 'race', asked for gender",
    )
    assert measurements([measurement("none")])[0].domain == "none"


def test_model_must_be_a_handle() -> None:
    entry, plugin = answering(Model, "load", lambda request: object())
    request = LoadRequest(cache_dir=Path("nowhere"))
    breach(
        lambda: boundary.load_model(entry, plugin, request),
        "model",
        "load",
        "returned object, not a LanguageModel",
    )


def raising(family: type[Any], method: str) -> tuple[Any, Any]:
    def answer(*asked: Any) -> Any:
        raise ZeroDivisionError("on\npurpose")

    return answering(family, method, answer)


def load(entry: Any, plugin: Any) -> Any:
    return boundary.load_model(entry, plugin, LoadRequest(cache_dir=Path("x")))


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("passages", lambda: passages_of(*raising(Corpus, "passages"))),
        ("mask", lambda: masks_of(*raising(Masker, "mask"))),
        ("debias", lambda: checkpoints(lambda request: iter([1 // 0]))),
        ("debias", lambda: checkpoints(lambda request: (1 // 0 for _ in range(2)))),
        ("evaluate", lambda: measurements_of(*raising(Evaluator, "evaluate"))),
        ("load", lambda: load(*raising(Model, "load"))),
        ("metrics", lambda: boundary.declared(*raising(Evaluator, "metrics"), "", "none")),
        ("quantities", lambda: boundary.declared(*raising(Evaluator, "quantities"), "", "none")),
        ("items", lambda: boundary.list_items(*raising(Evaluator, "items"), ASKED)),
    ],
)
def test_an_exception_is_one_line_with_plugin_file_and_line(
    method: str, call: Callable[[], Any]
) -> None:
    with pytest.raises(PluginCrashError) as caught:
        call()
    assert re.fullmatch(
        r"\w+ 'wrong' \(entry point 'entry' of some-distribution 4\.5\.6\) failed in "
        rf"{method}\(\): ZeroDivisionError: [\w /]+ \({re.escape(__file__)}, line \d+\)",
        str(caught.value),
    )
    assert "ZeroDivisionError" in caught.value.trace()
    assert "Traceback" in caught.value.trace()


def test_errors_for_people_pass_as_they_are() -> None:
    def answer(request: Any) -> Any:
        raise DebiasError("nothing to learn from")

    with pytest.raises(DebiasError, match=r"^nothing to learn from$"):
        checkpoints(answer)
