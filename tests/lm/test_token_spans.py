"""Which characters the tokens of a text cover, for tokenizers of other makes than GPT-2's.

Byte-fallback tokenizers (Llama's, Gemma's) write a character that they do not know as its bytes;
tokenizers in Python give no offsets; SentencePiece normalises a text before it cuts it.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from harness_debiasers.mlm_unlearning import MlmUnlearningConfig, causal_examples
from tiny_gpt2 import tiny_gpt2
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from harness.errors import DataError, ModelError
from harness.lm.transformers_model import TransformersModel
from harness.types import MaskedPassage, Passage, Span

WORDS = ("women", "men", "and", "are")
TEXTS = (
    "Zoë and women",
    "women 👩🏽\u200d⚕️ are 中文",
    "e\u0301clair and women",
    "हिन्दी women العربية",
    "🏳️\u200d🌈",
)


def byte_fallback() -> PreTrainedTokenizerFast:
    """A tokenizer as Llama's: a space in front of a text, bytes for what is not in it."""
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,"]
    names = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    merges = []
    for word in WORDS:
        piece = "▁"
        for letter in word:
            if (piece, letter) not in merges:
                merges.append((piece, letter))
            piece += letter
            if piece not in names:
                names.append(piece)
    vocabulary = {name: number for number, name in enumerate(names)}
    core = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="<s>", unk_token="<unk>"
    )


class Normalising(ByT5Tokenizer):
    """A tokenizer in Python, over bytes, that normalises a text first, as SentencePiece does."""

    def _tokenize(self, text: str, **options: Any) -> list[str]:
        shown = unicodedata.normalize("NFKC", text).replace("\u200b", "")
        return list(super()._tokenize(" ".join(shown.split())))


def model_of(tokenizer: Any) -> TransformersModel:
    module = tiny_gpt2(len(tokenizer), n_positions=128, n_layer=1, initializer_range=0.3)
    return TransformersModel(module.eval(), tokenizer, kind="causal", name="made")


MAKERS = {
    "byte fallback": byte_fallback,
    "in Python": lambda: ByT5Tokenizer(extra_ids=0),
    "in Python, normalising": lambda: Normalising(extra_ids=0),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_batched_scores_are_those_of_one_text_alone(maker: str) -> None:
    tokenizer = MAKERS[maker]()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    model = model_of(tokenizer)
    together = model.token_scores(TEXTS)
    for text, batched in zip(TEXTS, together, strict=True):
        with model.alone():
            (single,) = model.token_scores([text])
        assert batched.ids.tolist() == single.ids.tolist()
        np.testing.assert_allclose(batched.logprobs, single.logprobs, atol=1e-5)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("text", TEXTS)
def test_every_visible_character_is_covered_by_the_tokens_of_its_bytes(
    maker: str, text: str
) -> None:
    model = model_of(MAKERS[maker]())
    ids, spans = model.encode_with_offsets(text)
    assert ids == model.encode(text)
    assert len(ids) == len(spans)
    covered = {k for start, end in spans for k in range(start, end)}
    assert covered == {k for k, char in enumerate(text) if not char.isspace()}
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)


def test_the_space_that_a_tokenizer_puts_in_front_is_no_part_of_the_first_word() -> None:
    """As inside a text, where a lone space covers the space alone."""
    model = model_of(byte_fallback())
    ids, spans = model.encode_with_offsets("中 中 men men")
    pieces = [model.token_text(token) for token in ids]
    lone = [k for k, piece in enumerate(pieces) if piece == "▁"]
    assert lone == [0, 4]
    assert [spans[k] for k in lone] == [(0, 0), (2, 2)]
    assert spans[1:4] == [(0, 1)] * 3
    assert spans[5:8] == [(2, 3)] * 3
    assert spans[8:] == [(4, 7), (8, 11)]
    passage = Passage(id="a", text="中 中 men men", domain="gender", label="hateful", split="train")
    spanned = tuple(
        Span(start=s, end=e, kind="x", reason="x") for s, e in ((0, 1), (2, 3), (8, 11))
    )
    masked = MaskedPassage(passage=passage, spans=spanned)
    config = MlmUnlearningConfig.model_validate({"first_word": "start-token"})
    ((example,), lost) = causal_examples(model, [masked], config)
    assert lost == 0
    assert [word.positions for word in example.words] == [(2, 3, 4), (6, 7, 8), (10,)]


@pytest.mark.parametrize(
    ("text", "word", "tokens"),
    [
        ("a  ﬁne\tday", "ﬁne", "fine"),
        ("a  ﬁne\tday", "day", "day"),
        ("\u200b e\u0301tude men", "e\u0301tude", "étude"),
        ("x\u200bmen ", "men", "men"),
    ],
)
def test_a_normalised_text_is_traced_back_to_its_characters(
    text: str, word: str, tokens: str
) -> None:
    model = model_of(Normalising(extra_ids=0))
    ids, spans = model.encode_with_offsets(text)
    start = text.index(word)
    own = [
        token
        for token, (a, b) in zip(ids, spans, strict=True)
        if a < b and a < start + len(word) and b > start
    ]
    assert model.tokenizer.decode(own) == tokens


def test_a_tokenizer_whose_tokens_cannot_be_traced_is_told_in_one_line() -> None:
    class Shouting(ByT5Tokenizer):
        def _tokenize(self, text: str, **options: Any) -> list[str]:
            return list(super()._tokenize(text.upper()))

    model = model_of(Shouting(extra_ids=0))
    with pytest.raises(ModelError, match="do not decode to the text 'men'; use a model with a"):
        model.encode_with_offsets("men")


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("broken", ["half \ud83d", "\udc69 half", "a \ud83d\u200d b"])
def test_half_of_a_character_is_one_clear_line(maker: str, broken: str) -> None:
    model = model_of(MAKERS[maker]())
    for call in (
        lambda: model.token_scores(["men", broken]),
        lambda: model.continuation_scores(["men"], [" " + broken]),
        lambda: model.hidden_states([broken]),
        lambda: model.encode(broken),
        lambda: model.encode_with_offsets(broken),
        lambda: model.generate([broken]),
    ):
        with pytest.raises(DataError, match="half of a character") as caught:
            call()
        str(caught.value).encode("utf-8")
        assert "\n" not in str(caught.value)


def test_a_cut_emoji_is_scored_as_the_characters_that_are_left() -> None:
    """An emoji of several characters may be cut between them; what is left is whole."""
    model = model_of(byte_fallback())
    (scores,) = model.token_scores(["men 👩\u200d"])
    assert [model.token_text(token) for token in scores.ids] == [
        "▁men",
        "▁",
        *(f"<0x{byte:02X}>" for byte in "👩\u200d".encode()),
    ]
    assert np.isfinite(scores.logprobs[1:]).all()
