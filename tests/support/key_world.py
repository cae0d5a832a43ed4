"""A small world for tests of content keys: a model, data, word lists and a third-party package.

Everything is a file that a test can change. `World.keys` plans a spec over it and returns the keys
of its tasks, by what they measure.
"""

from __future__ import annotations

import csv
import importlib
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import harness_corpora.hooks
import harness_debiasers.hooks
import harness_evaluators.hooks
import harness_maskers.hooks
import harness_models.hooks

from harness.data.places import DataStore
from harness.planning.code import DISTRIBUTION
from harness.plugins import Origin, Registry, build_registry
from harness.running.experiment import Experiment
from harness.testing import save_tiny_model

PACKAGE = "key_world_plugin"

PLUGIN = '''
"""A third-party package."""

from pydantic import Field

from harness.families import Debiaser, Evaluator, Masker, PluginConfig
from harness.hookspecs import hookimpl
from harness.types import Checkpoint
from key_world_plugin.helper import FACTOR


class RateConfig(PluginConfig):
    """How far a step goes."""

    rate: float = Field(0.5, description="of a step")


class TheirDebiaser(Debiaser[RateConfig]):
    """Moves weights."""

    name = "their-debiaser"
    summary = "Moves weights."
    reference = "tests"

    def depends_on_last_step(self):
        """It does not."""
        return False

    def debias(self, request):
        for step in request.steps:
            # a comment on a line of its own
            yield Checkpoint(step, request.model, {"factor": FACTOR})


class TheirMasker(Masker[PluginConfig]):
    """Masks nothing."""

    name = "their-masker"
    summary = "Masks nothing."
    reference = "tests"

    def mask(self, request):
        return []


class TheirEvaluator(Evaluator[RateConfig]):
    """Measures nothing."""

    name = "their-evaluator"
    summary = "Measures nothing."
    reference = "tests"
    domains = frozenset({"gender", "race"})

    def evaluate(self, request):
        return []


@hookimpl
def harness_debiasers():
    return [TheirDebiaser]


@hookimpl
def harness_maskers():
    return [TheirMasker]


@hookimpl
def harness_evaluators():
    return [TheirEvaluator]
'''

HELPER = '''"""A helper of the package."""

FACTOR = 2
'''

ROWS = [
    # id, text, topic, kind, part, note
    *((f"g{i}", f"women are bad at task {i}", "gender", "hate", "train", "x") for i in range(6)),
    *((f"r{i}", f"muslims bring trouble {i}", "religion", "hate", "train", "x") for i in range(6)),
    *((f"n{i}", f"women came by train {i}", "gender", "fine", "train", "x") for i in range(6)),
    *((f"t{i}", f"girls will cry about {i}", "gender", "hate", "test", "x") for i in range(4)),
]


class Place(NamedTuple):
    """What a task measures: the debiaser (None: the base), the evaluator, source, seed and step."""

    debiaser: str | None
    evaluator: str
    source: str | None
    seed: int | None
    step: int


class World:
    """The files, the spec over them, and the plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = "1.0"
        self.distribution = "their-distribution"
        self.data = DataStore(cache_dir=folder / "cache", offline=True)
        self.spec: dict[str, Any] = self._spec()

    @classmethod
    def make(cls, folder: Path) -> World:
        """Write the files."""
        save_tiny_model(folder / "model")
        (folder / "model" / "generation_config.json").write_text('{"max_length": 20}')
        (folder / "model" / "README.md").write_text("a model")
        world = cls(folder)
        world.write_rows(ROWS)
        with (folder / "neutral.csv").open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            rows.writerow(["text", "part"])
            for n in range(6):
                rows.writerow([f"The man and his father sold {n} loaves.", "train"])
            for n in range(40):  # as many as a dose needs
                rows.writerow([f"A wide river runs past {n} empty mills.", "test"])
        (folder / "words.txt").write_text("women\ngirls\n", encoding="utf-8")
        (folder / "pairs.csv").write_text("left,right\nman,woman\nfather,mother\n", "utf-8")
        package = folder / "packages" / PACKAGE
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(PLUGIN, "utf-8")
        (package / "helper.py").write_text(HELPER, "utf-8")
        (package / "terms.json").write_text('["a"]', "utf-8")
        return world

    def copy(self, folder: Path) -> World:
        """Return the same world elsewhere, to be changed."""
        shutil.copytree(self.folder, folder)
        return World(folder)

    def path(self, name: str) -> Path:
        """A file of the world."""
        return self.folder / name

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        path = self.path(name)
        text = path.read_text("utf-8")
        assert old in text, (name, old)
        path.write_text(text.replace(old, new, 1), "utf-8")

    def package_file(self, name: str) -> str:
        """The name of a file of the third-party package, for `edit`."""
        return f"packages/{PACKAGE}/{name}"

    def write_rows(self, rows: Iterable[Iterable[str]], name: str = "passages.csv") -> None:
        """Write the corpus."""
        with self.path(name).open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["id", "text", "topic", "kind", "part", "note"])
            table.writerows(rows)

    def set(self, **changes: Any) -> None:
        """Change keys of the spec."""
        self.spec.update(changes)

    def change(self, key: str, position: int, **fields: Any) -> None:
        """Change an entry of the spec that names a plugin."""
        entries = list(self.spec[key])
        entries[position] = {**entries[position], **fields}
        self.spec[key] = entries

    def registry(self) -> Registry:
        """The built-in plugins, and those of the third-party package as it is now."""
        root = str(self.folder / "packages")
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.path.insert(0, root)
        importlib.invalidate_caches()
        try:
            theirs = importlib.import_module(PACKAGE)
        finally:
            sys.path.remove(root)
        ours = Origin("ours", DISTRIBUTION, "0.1.0")
        modules = [
            (module, ours)
            for module in (
                harness_corpora.hooks,
                harness_debiasers.hooks,
                harness_evaluators.hooks,
                harness_maskers.hooks,
                harness_models.hooks,
            )
        ]
        origin = Origin("theirs", self.distribution, self.version)
        return build_registry([*modules, (theirs, origin)], strict=True)

    def keys(self) -> dict[Place, str]:
        """Keys of the tasks of the spec; none of them may have a problem."""
        registry = self.registry()
        found = Experiment.from_mapping(self.spec, registry=registry, data=self.data).plan()
        problems = {task.problem for task in found.tasks().values()} - {None}
        assert not problems, problems
        return {
            Place(cell.debiaser, ref.evaluator, cell.source, cell.seed, ref.step): ref.key
            for cell in found.index.cells
            for ref in cell.measures
            if cell.is_base or ref.step > 0
        }

    def _spec(self) -> dict[str, Any]:
        return json.loads(json.dumps(self._defaults(), default=str))  # type: ignore[no-any-return]

    def _defaults(self) -> dict[str, Any]:
        return {
            "name": "world",
            "model": [{"use": "hf", "id": self.path("model"), "as": "tiny"}],
            "corpus": [
                {
                    "use": "file",
                    "path": self.path("passages.csv"),
                    "as": "rows",
                    "text": "text",
                    "id": "id",
                    "domain": "topic",
                    "label": "kind",
                    "labels": {"hate": "hateful", "fine": "non-hateful"},
                    "split": "part",
                }
            ],
            "source": ["gender"],
            "label": ["hateful"],
            "masker": [{"use": "wordlist", "rules": ["file"], "path": self.path("words.txt")}],
            "neutral": [
                {
                    "use": "file",
                    "path": self.path("neutral.csv"),
                    "label_value": "non-hateful",
                    "domain_value": "none",
                    "split": "part",
                }
            ],
            "debiaser": [
                {"use": "mlm-unlearning"},
                {"use": "cda", "word_lists": self.path("pairs.csv")},
                {"use": "their-debiaser"},
                {"use": "identity"},
            ],
            "evaluators": [{"use": "embedded-pairs"}, {"use": "their-evaluator"}],
            "targets": ["gender", "race"],
            "steps": [2, 4],
            "seed": [0],
            "limits": {"items": 3, "passages": 6},
        }
