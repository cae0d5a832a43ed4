"""Some architectures of different makes, compared as benchmarks/architectures.py compares all."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.lm.handle import ModelKind
from harness.lm.transformers_model import TransformersModel

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"

TREES, ROWS = "exact", "without prefix trees"

EXPECTED: list[tuple[ModelKind, str, str, str]] = [
    ("causal", "gpt2", "byte-level", TREES),
    ("causal", "llama", "unigram", TREES),
    ("causal", "gemma3", "unigram", TREES),  # a nested text configuration, windows, capped logits
    ("causal", "gpt_neo", "slow", TREES),  # a window under a name of its own
    ("causal", "cohere", "wordpiece", TREES),  # scaled logits
    ("causal", "bloom", "byte-level", ROWS),  # positions as biases of attention
    ("causal", "mamba", "unigram", ROWS),  # no attention
    ("causal", "qwen3_moe", "byte-level", TREES),  # experts
    ("causal", "llama4_text", "wordpiece", TREES),  # attention in chunks; no body of its name
    ("causal", "xlnet", "unigram", "refused"),  # sees later tokens
    ("masked", "bert", "wordpiece", TREES),
    ("masked", "roberta", "byte-level", TREES),  # positions counted from the padding's id
    ("masked", "fnet", "unigram", TREES),  # has no mask for padding
    ("masked", "deberta-v2", "slow", TREES),
    ("masked", "bart", "byte-level", "refused"),  # an encoder-decoder
]


@pytest.mark.parametrize(("kind", "family", "style", "verdict"), EXPECTED)
def test_batched_scores_states_and_gradients_are_those_of_one_text(
    kind: ModelKind, family: str, style: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from architectures import examine

    outcome = examine(family, kind, style)
    assert outcome.verdict == verdict, outcome
    assert "plain" in outcome.tried or verdict == "refused"


def test_a_difference_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees what it looks for: trees for a model that does not take them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from architectures import examine

    monkeypatch.setattr(
        "harness.lm.scoring.abilities._takes_blocks", lambda forward, size: size == 128
    )
    monkeypatch.setattr("harness.lm.scoring.abilities._known", {})
    assert examine("roberta", "causal", "byte-level").verdict == "FAULT"


def test_a_tokenizer_in_python_says_which_characters_its_tokens_cover(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the fast one does; the bytes of a character each cover it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from architectures import build, tokenizer_of

    tokenizer = tokenizer_of("slow", "causal")
    module = build("gpt2", "causal", tokenizer, {})
    model = TransformersModel(module, tokenizer, kind="causal", name="slow")
    text = "The café’s 日"
    ids, spans = model.encode_with_offsets(text)
    assert ids == model.encode(text)
    assert len(ids) == len(spans) == len(text.encode())
    covering = [[text[a:b] for a, b in spans].count(c) for c in text if not c.isspace()]
    assert covering == [len(c.encode()) * text.count(c) for c in text if not c.isspace()]
