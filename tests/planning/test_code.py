"""The code behind built-in plugins: what they import, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.planning import code
from harness.plugins import Origin, Registered, Registry, load_registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in plugins, whatever distribution their tests are installed as."""
    return load_registry(strict=True)


def hashes(registry: Registry) -> dict[tuple[str, str], str]:
    origin = Origin("built-in", code.DISTRIBUTION, "0")
    return {(e.family, e.name): code.code_hash(Registered(e.plugin, origin)) for e in registry}


@pytest.mark.parametrize(
    ("file", "concerned", "spared"),
    [
        ("training.py", ["debiaser/cda", "debiaser/mlm-unlearning"], ["debiaser/leace"]),
        ("crows_pairs.py", ["evaluator/crows-pairs"], ["evaluator/embedded-perplexity"]),
        ("engine.py", ["model/hf", "model/smollm2-135m"], ["corpus/dghs", "masker/wordlist"]),
        ("wordlist.py", ["masker/wordlist", "masker/random"], ["debiaser/mlm-unlearning"]),
        (
            "mlm_unlearning.py",
            ["debiaser/mlm-unlearning", "debiaser/weight-noise"],
            ["debiaser/cda"],
        ),
        ("built_in.py", ["evaluator/crows-pairs", "evaluator/stereoset"], ["debiaser/identity"]),
        ("survey.py", [], ["model/hf"]),
        ("families.py", [], ["debiaser/cda", "evaluator/crows-pairs"]),
    ],
)
def test_an_edit_concerns_the_plugins_that_import_the_file(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    concerned: list[str],
    spared: list[str],
) -> None:
    before = hashes(registry)
    read = code._file_hash

    def edited(path: Path) -> str:
        return "edited" if path.name == file else read(path)

    monkeypatch.setattr(code, "_file_hash", edited)
    after = hashes(registry)
    changed = {
        f"{family}/{name}" for family, name in before if before[family, name] != after[family, name]
    }
    assert set(concerned) <= changed
    assert not set(spared) & changed
    if not concerned:
        assert not changed


def test_prose_is_left_out_and_strings_are_not() -> None:
    def of(text: str) -> bytes:
        return code._without_prose(text.encode())

    plain = 'def f():\n    """Doc."""\n    x = """a\n# b\n\nc"""\n    return x  # why\n'
    assert of(plain) == of(plain.replace("Doc.", "Another\n    text."))
    assert of(plain) == of("# new\n\n" + plain.replace("return", "return"))
    assert of(plain) != of(plain.replace("# b", "# d"))  # within a string
    assert of(plain) != of(plain.replace("return x", "return 2"))
    assert of("def f(:") == b"def f(:"


def test_an_unreadable_file_is_one_line(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path) -> str:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(code, "_file_hash", gone)
    with pytest.raises(code.PluginError, match="its code cannot be read"):
        code.code_hash(registry.get("debiaser", "cda"))
