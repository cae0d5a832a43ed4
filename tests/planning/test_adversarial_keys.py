"""What must be measured again and what must not: mutations of files, settings and code.

Each mutation says which of the results it makes stale. All others keep their keys.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from key_world import ROWS, Place, World

MASKED = {"mlm-unlearning", "their-debiaser"}
"""Methods that learn from the masked passages of the corpus."""


class Mutation(NamedTuple):
    """A change of the world, and which results it makes stale."""

    name: str
    change: Callable[[World], object]
    stale: Callable[[Place], bool]


def everything(place: Place) -> bool:
    return True


def nothing(place: Place) -> bool:
    return False


def fits(*debiasers: str) -> Callable[[Place], bool]:
    return lambda place: place.debiaser in debiasers


def evaluator(name: str) -> Callable[[Place], bool]:
    return lambda place: place.evaluator == name


def rows(position: int, column: int, value: str) -> Callable[[World], object]:
    """Change a cell of the corpus."""

    def change(world: World) -> None:
        changed = [list(row) for row in ROWS]
        changed[position][column] = value
        world.write_rows(changed)

    return change


def move(name: str, key: str, field: str) -> Callable[[World], object]:
    """Move a file or folder elsewhere and say so in the spec."""

    def change(world: World) -> None:
        target = world.path("elsewhere") / name
        target.parent.mkdir(exist_ok=True)
        shutil.move(world.path(name), target)
        positions = [i for i, entry in enumerate(world.spec[key]) if field in entry]
        world.change(key, positions[0], **{field: str(target)})

    return change


def write(name: str, text: str) -> Callable[[World], object]:
    def change(world: World) -> None:
        path = world.path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")

    return change


def flip_a_weight(world: World) -> None:
    path = world.path("model/model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def edit(name: str, old: str, new: str) -> Callable[[World], object]:
    return lambda world: world.edit(name, old, new)


def code(old: str, new: str, name: str = "__init__.py") -> Callable[[World], object]:
    return lambda world: world.edit(world.package_file(name), old, new)


def spec(**changes: object) -> Callable[[World], object]:
    return lambda world: world.set(**changes)


def entry(key: str, position: int, **fields: object) -> Callable[[World], object]:
    return lambda world: world.change(key, position, **fields)


def limits(**changes: object) -> Callable[[World], object]:
    return lambda world: world.set(limits={**world.spec["limits"], **changes})


def theirs(place: Place) -> bool:
    return place.debiaser == "their-debiaser" or place.evaluator == "their-evaluator"


def set_attribute(name: str, value: str) -> Callable[[World], object]:
    return lambda world: setattr(world, name, value)


MUST = [
    # the model
    Mutation("one bit of a weight", flip_a_weight, everything),
    Mutation("config", edit("model/config.json", '"n_head"', '"x": 1, "n_head"'), everything),
    Mutation("tokenizer", edit("model/tokenizer.json", '"merges"', '"x": 1, "merges"'), everything),
    Mutation(
        "tokenizer's settings",
        edit("model/tokenizer_config.json", "{", '{"add_prefix_space": true,'),
        everything,
    ),
    Mutation("added tokens", write("model/added_tokens.json", "{}"), everything),
    Mutation("special tokens", write("model/special_tokens_map.json", "{}"), everything),
    Mutation("vocabulary", write("model/vocab.json", "{}"), everything),
    Mutation("merges", write("model/merges.txt", "a b"), everything),
    Mutation("sentence pieces", write("model/tokenizer.model", "x"), everything),
    Mutation("start token", entry("model", 0, start_token="none"), everything),
    Mutation("dtype", spec(dtype="bfloat16"), everything),
    # the passages that are read
    Mutation("a passage's text", rows(0, 1, "women are good at it"), fits(*MASKED)),
    Mutation("a passage's id", rows(1, 0, "other"), fits(*MASKED)),
    Mutation("a passage's label", rows(0, 3, "fine"), fits(*MASKED)),
    Mutation("a passage's domain", rows(0, 2, "religion"), fits(*MASKED)),
    Mutation("a passage's split", rows(0, 4, "test"), fits(*MASKED)),
    Mutation("another text column", entry("corpus", 0, text="note"), fits(*MASKED)),
    Mutation(
        "what labels mean",
        entry("corpus", 0, labels={"hate": "non-hateful", "fine": "hateful"}),
        fits(*MASKED),
    ),
    Mutation("passages", limits(passages=3), fits(*MASKED)),
    Mutation("label", spec(label=["non-hateful"]), fits(*MASKED)),
    # masks
    Mutation("words of the list", write("words.txt", "women\nboys\n"), fits(*MASKED)),
    Mutation("mask rules", entry("masker", 0, rules=["file", "attribute"]), fits(*MASKED)),
    Mutation(
        "another masker", spec(masker=[{"use": "their-masker", "as": "wordlist"}]), fits(*MASKED)
    ),
    # methods
    Mutation("learning rate", entry("debiaser", 0, learning_rate=1e-3), fits("mlm-unlearning")),
    Mutation("their setting", entry("debiaser", 2, rate=0.25), fits("their-debiaser")),
    Mutation("seed", spec(seed=[3]), nothing),  # other places: checked apart
    Mutation("neutral text", edit("neutral.csv", "sold 3", "ate 3"), fits("cda")),
    Mutation("fewer neutral texts", limits(neutral=2), fits("cda")),
    Mutation(
        "pairs of words", write("pairs.csv", "left,right\nman,woman\nson,daughter\n"), fits("cda")
    ),
    Mutation("a falling rate ends later", spec(steps=[2, 4, 6]), fits("cda")),
    Mutation("a rate that falls", entry("debiaser", 0, schedule="linear"), fits("mlm-unlearning")),
    Mutation("stop at a dose", spec(stop_at={"kl": 0.1}, steps=[4]), fits("cda", *MASKED)),
    # plugin code
    Mutation("their code", code('{"factor": FACTOR}', '{"factor": 1 + FACTOR}'), theirs),
    Mutation("a number in their code", code("Field(0.5", "Field(0.75"), theirs),
    Mutation("their helper", code("FACTOR = 2", "FACTOR = 3", "helper.py"), theirs),
    Mutation("their data file", code("a", "b", "terms.json"), theirs),
    Mutation("their version", set_attribute("version", "1.1"), theirs),
    Mutation("their distribution", set_attribute("distribution", "a-fork"), theirs),
    Mutation(
        "a new file of theirs",
        lambda world: world.path(world.package_file("more.py")).write_text("X = 1\n"),
        theirs,
    ),
    # evaluation
    Mutation("items", limits(items=2), everything),
    Mutation("drawn items", limits(sample_seed=7), everything),
    Mutation("fewer targets", spec(targets=["gender"]), everything),
    Mutation(
        "domains of an evaluator",
        entry("evaluators", 1, domains=["race"]),
        evaluator("their-evaluator"),
    ),
    Mutation("scorer", entry("evaluators", 0, scorers=["bos_mean"]), evaluator("embedded-pairs")),
    Mutation("evaluator's setting", entry("evaluators", 1, rate=0.1), evaluator("their-evaluator")),
]

MUST_NOT = [
    # where things are, and what they are called
    Mutation("the model is moved", move("model", "model", "id"), nothing),
    Mutation(
        "the model's path, spelled otherwise",
        lambda world: world.change("model", 0, id=str(world.path("model/../model/."))),
        nothing,
    ),
    Mutation("the corpus is moved", move("passages.csv", "corpus", "path"), nothing),
    Mutation("the neutral corpus is moved", move("neutral.csv", "neutral", "path"), nothing),
    Mutation("the word list is moved", move("words.txt", "masker", "path"), nothing),
    Mutation("the pairs are moved", move("pairs.csv", "debiaser", "word_lists"), nothing),
    Mutation(
        "labels",
        lambda world: [
            world.change("model", 0, **{"as": "renamed"}),
            world.change("masker", 0, **{"as": "mine"}),
        ],
        nothing,
    ),
    Mutation("name and description", spec(name="other", description="words"), nothing),
    Mutation("device", spec(device="auto"), nothing),
    Mutation("memory", entry("model", 0, max_memory={"cpu": "1GiB"}), nothing),
    Mutation("checkpoints are kept", spec(keep_checkpoints=True), nothing),
    # files that are not read
    Mutation("a chat template", write("model/chat_template.jinja", "x"), nothing),
    Mutation("generation settings", write("model/generation_config.json", "{}"), nothing),
    Mutation("a page about the model", write("model/README.md", "another"), nothing),
    Mutation("an image", write("model/loss.png", "x"), nothing),
    Mutation("a hidden file", write("model/.cache", "x"), nothing),
    Mutation("the kind that auto means", entry("model", 0, kind="causal"), nothing),
    # rows that are not read
    Mutation("a limit that leaves nothing out", limits(passages=None), nothing),
    Mutation("a seed that draws no passages", limits(fixed_passages=True), nothing),
    Mutation("another domain's passage", rows(7, 1, "muslims bring nothing"), nothing),
    Mutation("another label's passage", rows(13, 1, "women left by train"), nothing),
    Mutation("a test passage", rows(19, 1, "girls will cry about nothing at all"), nothing),
    Mutation("a column that is not read", rows(0, 5, "y"), nothing),
    # word lists that say the same
    Mutation("a comment in the word list", write("words.txt", "# mine\nwomen\n\ngirls\n"), nothing),
    # order, and axes that grow
    Mutation("order of targets", spec(targets=["race", "gender"]), nothing),
    Mutation("more sources", spec(source=["religion", "gender"]), nothing),
    Mutation("more seeds", spec(seed=[4, 0]), nothing),
    Mutation(
        "order of methods", lambda world: world.set(debiaser=world.spec["debiaser"][::-1]), nothing
    ),
    Mutation(
        "another evaluator",
        lambda world: world.set(
            evaluators=[{"use": "embedded-triples"}, *world.spec["evaluators"]]
        ),
        nothing,
    ),
    Mutation("fewer checkpoints", spec(steps=[4]), nothing),
    Mutation("more checkpoints", spec(steps=[1, 2, 3, 4]), nothing),
    Mutation(
        "hypotheses",
        spec(
            hypotheses={
                "tests": [
                    {
                        "name": "one",
                        "endpoint": {"evaluator": "embedded-pairs", "metric": "stereotype_score"},
                        "contrast": {"method": {"debiaser": "cda"}},
                    }
                ]
            }
        ),
        nothing,
    ),
    # seeds of samples that leave nothing out
    Mutation("unseen passages that nobody reads", limits(unseen=7), nothing),
    # prose in code
    Mutation(
        "a docstring", code('"""Moves weights."""\n\n    name', '"""Other."""\n\n    name'), nothing
    ),
    Mutation("a comment", code("# a comment on a line of its own", "# another one"), nothing),
    Mutation("blank lines", code("FACTOR = 2", "\n\nFACTOR = 2", "helper.py"), nothing),
    Mutation(
        "compiled files",
        lambda world: (
            world.path(world.package_file("__pycache__")).mkdir(exist_ok=True),
            world.path(world.package_file("__pycache__/x.pyc")).write_bytes(b"x"),
        ),
        nothing,
    ),
    Mutation("the date of a file", lambda world: world.path("model/config.json").touch(), nothing),
]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, dict[Place, str]]:
    folder = tmp_path_factory.mktemp("keys") / "world"
    folder.mkdir()
    world = World.make(folder)
    return world, world.keys()


@pytest.mark.parametrize("mutation", [*MUST, *MUST_NOT], ids=lambda m: m.name)
def test_a_mutation_makes_stale_what_depends_on_it_and_nothing_else(
    mutation: Mutation, origin: tuple[World, dict[Place, str]], tmp_path: Path
) -> None:
    world, before = origin
    changed = world.copy(tmp_path / "world")
    mutation.change(changed)
    after = changed.keys()
    common = set(before) & set(after)
    if mutation.name == "seed":
        assert not set(before.values()) & {after[p] for p in after if p.debiaser in MASKED}
        return
    assert common
    stale = {place for place in common if before[place] != after[place]}
    assert stale == {place for place in common if mutation.stale(place)}


def test_enough_mutations_are_tried() -> None:
    assert len(MUST) >= 40
    assert len(MUST_NOT) >= 20
    names = [mutation.name for mutation in (*MUST, *MUST_NOT)]
    assert len(names) == len(set(names))
