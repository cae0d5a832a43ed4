"""docs/mask-rules.md shows what the rules really mask."""

from __future__ import annotations

import re

import pytest
import yaml
from fences import FENCE
from fresh_env import REPO
from harness_corpora.domains import BUILT_IN

from harness.data.places import DataStore
from harness.families import Masker
from harness.plugins import Registry, load_registry
from harness.render.console.masks import highlighted
from harness.types import MaskRequest, Passage, no_progress

PAGE = (REPO / "docs" / "mask-rules.md").read_text("utf-8")
EXAMPLES = ("Women have no backbones", "It was dead the moment you let the women vote, simple")
"""The two passages of the paper's section 4.1."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(strict=True)


@pytest.mark.parametrize("rule", ["attribute", "harm", "both", "all"])
def test_examples_of_the_paper(registry: Registry, rule: str) -> None:
    found = re.search(rf"^\| `{rule}` \| (.*) \| (.*) \|$", PAGE.split("two examples")[1], re.M)
    assert found is not None
    name, config = ("all", {}) if rule == "all" else ("wordlist", {"rules": rule})
    masker = registry.create("masker", name, config)
    assert isinstance(masker, Masker)
    passages = tuple(
        Passage(id=f"p{i}", text=text, domain="gender", label="hateful", split="train")
        for i, text in enumerate(EXAMPLES)
    )
    answers = masker.mask(
        MaskRequest(
            passages=passages,
            domain="gender",
            data=DataStore(offline=True, domains=BUILT_IN),
            progress=no_progress,
        )
    )
    assert [highlighted(answer).plain for answer in answers] == list(found.groups())


def test_maskers_of_the_page_are_valid(registry: Registry) -> None:
    (block,) = [body for kind, body in FENCE.findall(PAGE) if kind == "yaml"]
    entries = yaml.safe_load(block)["masker"]
    assert len(entries) == 6
    for entry in entries:
        config = dict(entry) if isinstance(entry, dict) else {"use": entry}
        config.pop("as", None)
        registry.create("masker", config.pop("use"), config)
