"""A domain that no package knows, added with files only: planned, debiased, measured, repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import text_of

from harness import DataStore, Experiment, SpecError, open_run
from harness.planning.spec import Spec
from harness.plugins import Registry, load_registry
from harness.storage.store import Store
from harness.testing import save_tiny_model

SPEC = """\
name: caste
model: {use: hf, id: MODEL, as: tiny}
domains:
  caste:
    description: castes of South Asia
    terms: {dalits: dalits.txt, brahmins: [brahmin, brahmins]}
    counterparts: castes.csv
corpus: {use: file, path: FOLDER/passages.csv, label: label, domain: domain,
         split: split}
source: [caste, gender]
masker: wordlist
debiaser:
  - {use: mlm-unlearning, learning_rate: 1.0e-2}
  - {use: cda, learning_rate: 1.0e-2}
neutral: {use: file, as: plain, path: FOLDER/plain.csv, domain_value: none,
          label_value: non-hateful}
evaluators:
  - corpus-perplexity
  - embedded-pairs
  - {use: pairs, path: FOLDER/pairs.csv, domain_value: caste, half: half, cluster: trait}
  - {use: triples, path: FOLDER/triples.csv, domain_value: caste}
targets: [caste, gender]
steps: [1]
limits: {items: 6}
"""

_THINGS = "tea rice cloth paper glass wood iron salt milk wool silk coal lamps boats"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(strict=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def study(tmp_path: Path, model: Path) -> Path:
    """A folder with a spec and its files; nothing of it is installed."""
    folder = tmp_path / "study"
    folder.mkdir()
    things = _THINGS.split()
    rows = [
        f"{who} sold {thing} beside {label} {thing} shops,{label},{domain},{split}"
        for domain, who in (("caste", "Dalits"), ("gender", "Women"))
        for label in ("hateful", "non-hateful")
        for split, thing in zip(["train", "test"] * 7, things, strict=True)
    ]
    (folder / "passages.csv").write_text("\n".join(["text,label,domain,split", *rows]), "utf-8")
    people = ("dalit", "brahmin", "man", "woman")
    plain = [f"The {who} carried {thing} home" for who in people for thing in things]
    (folder / "plain.csv").write_text("\n".join(["text", *plain]), "utf-8")
    halves = (("stereo", "Dalits", "Brahmins"), ("antistereo", "Brahmins", "Dalits"))
    pairs = [
        f"{more} like {thing}.,{less} like {thing}.,{half},{thing}"
        for half, more, less in halves
        for thing in things
    ]
    (folder / "pairs.csv").write_text("\n".join(["more,less,half,trait", *pairs]), "utf-8")
    triples = [
        f"Dalits are late for {thing}.,Dalits are early for {thing}.,Dalits are wood for {thing}."
        for thing in things
    ]
    header = "stereotype,antistereotype,unrelated"
    (folder / "triples.csv").write_text("\n".join([header, *triples]), "utf-8")
    (folder / "dalits.txt").write_text("# one term a line\ndalit\ndalits\n", "utf-8")
    (folder / "castes.csv").write_text("dalits,brahmins\ndalit,brahmin\n", "utf-8")
    text = SPEC.replace("MODEL", str(model)).replace("FOLDER", str(folder))
    (folder / "caste.yaml").write_text(text, "utf-8")
    return folder


def experiment(study: Path, registry: Registry, **overrides: Any) -> Experiment:
    return Experiment.from_spec(
        study / "caste.yaml",
        registry=registry,
        data=DataStore(cache_dir=study / "cache", offline=True),
        results=study / "runs",
        **overrides,
    )


def fit_keys(study: Path, registry: Registry) -> dict[tuple[str, str], str]:
    """Key of each fit by method and source."""
    cells = experiment(study, registry).plan().index.cells
    return {
        (str(cell.debiaser), str(cell.source)): str(cell.fit_key) for cell in cells if cell.source
    }


@pytest.mark.parametrize("seed", [0, 3])
def test_the_sentences_of_a_new_domain_are_found_again(
    study: Path, registry: Registry, seed: int
) -> None:
    """Of the items that were sampled, whatever the seed that drew them."""
    limits = {"items": 6, "seed": seed}
    made = experiment(study, registry, limits=limits, source=["caste"], evaluators=[
        {"use": "pairs", "path": str(study / "pairs.csv"), "domain_value": "caste", "half": "half"},
    ])  # fmt: skip
    assert not made.run().failures
    run = open_run(made.folder, registry=registry, data=DataStore(cache_dir=study, offline=True))
    texts = run.sentences("pairs", "caste")
    items = run.items("mlm-unlearning/caste")
    assert len(items) == 6
    for item in items:
        assert {"more", "less"} <= set(texts[item["id"]])


def test_a_new_domain_is_debiased_and_measured(study: Path, registry: Registry) -> None:
    made = experiment(study, registry)
    assert not made.survey().problems
    outcome = made.run()
    assert not outcome.failures
    store = Store(made.folder)
    measured = set()
    for cell in store.index().cells:
        for ref in cell.measures:
            record = store.record(ref.key)
            assert record is not None
            measured |= {
                (cell.source, ref.evaluator, measurement.domain)
                for measurement in record.measurements
                if ref.step
            }
    assert ("caste", "corpus-perplexity", "caste") in measured
    assert ("gender", "corpus-perplexity", "caste") in measured
    assert ("caste", "embedded-pairs", "gender") in measured
    for source in ("caste", "gender"):
        assert (source, "pairs", "caste") in measured
        assert (source, "triples", "caste") in measured
    assert "caste" in text_of("matrix", made.folder)


def test_the_stored_run_knows_the_domain_without_its_files(study: Path, registry: Registry) -> None:
    made = experiment(study, registry)
    index = made.plan().index
    (study / "dalits.txt").unlink()
    (study / "castes.csv").unlink()
    stored = Spec.model_validate(json.loads(json.dumps(index.spec)))
    again = Experiment(
        stored, registry=registry, data=made.data, results=study / "other", folder=study / "other"
    )
    assert again.plan().index.cells == index.cells
    assert again.data.domains.attribute_terms("caste") == ("dalit", "dalits", "brahmin", "brahmins")


def test_terms_of_a_domain_change_the_keys_of_its_own_fits_only(
    study: Path, registry: Registry
) -> None:
    before = fit_keys(study, registry)
    (study / "dalits.txt").write_text("dalit\ndalits\nharijan\n", "utf-8")
    after = fit_keys(study, registry)
    changed = {cell for cell in before if before[cell] != after[cell]}
    assert changed == {("mlm-unlearning", "caste")}
    (study / "castes.csv").write_text("dalits,brahmins\ndalits,brahmins\n", "utf-8")
    last = fit_keys(study, registry)
    assert {cell for cell in after if after[cell] != last[cell]} == {("cda", "caste")}


def test_masks_use_the_terms_of_the_spec(study: Path) -> None:
    text = text_of("mask", "--spec", study / "caste.yaml", "--limit", 3)
    assert "[Dalits]" in text
    assert "caste terms: dalits" in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "source: [caste, gender]",
            "source: [cast]",
            "unknown domain 'cast'; did you mean 'caste'",
        ),
        ("targets: [caste,", "targets: [castes,", "did you mean 'caste'"),
        ("dalits.txt", "dalit.txt", r"dalit\.txt: cannot be read"),
        ("domains:\n  caste:", "domains:\n  overall:", "has a meaning of its own"),
    ],
)
def test_mistakes_are_one_line(
    study: Path, registry: Registry, old: str, new: str, words: str
) -> None:
    path = study / "caste.yaml"
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(SpecError, match=words) as caught:
        experiment(study, registry)
    assert str(caught.value).startswith(f"{path}:")
    assert "\n" not in str(caught.value)
