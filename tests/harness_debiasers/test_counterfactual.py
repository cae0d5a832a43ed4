"""Counterparts, counterfactual texts in both variants, CDA and dropout."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from harness_corpora.domains import BUILT_IN
from harness_debiasers.cda import Cda, CdaConfig, augment, padded_blocks
from harness_debiasers.counterfactual import Swapper
from harness_debiasers.dropout import Dropout, raised_dropout
from harness_debiasers.lm_loss import mean_logprob, text_rows
from harness_debiasers.word_lists import WORD_ROWS, WordRows, rows_fingerprint, word_rows

from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.lm.handle import LanguageModel
from harness.testing import tiny_causal_model, tiny_masked_model
from harness.types import DebiasRequest, Passage, PassageRequest, no_progress

GENDER = Swapper(WORD_ROWS["gender"])
RELIGION = Swapper(WORD_ROWS["religion"])
PUBLISHED = Swapper(WORD_ROWS["gender"], "bias-bench")

LINES = ("the boy fed his horse", "she told the waiter a story", "rain fell on the hills")


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He saw the actress.", "She saw the actor."),
        ("I gave her her book.", "I gave him his book."),
        ("It was his, not hers", "It was hers, not his"),
        ("I saw him and his dog", "I saw her and her dog"),
        ("HIS SISTER and Her brother", "HER BROTHER and His sister"),
        ("the king's sons-in-law", "the queen's sons-in-law"),
        ("The theme is the same.", "The theme is the same."),
    ],
)
def test_clean_swaps_keep_case_and_read_what_follows(text: str, swapped: str) -> None:
    assert GENDER.swap(text) == swapped


def test_swapping_twice_gives_the_text_back() -> None:
    words = [w for row in WORD_ROWS["gender"].rows for w in row]
    once = [w for w in words if words.count(w) == 1]
    assert len(once) > 80
    for word in once:
        if GENDER.swap(word) in once:
            text = f"Here a {word}, there a {word.upper()}!"
            assert GENDER.swap(text) != text
            assert GENDER.swap(GENDER.swap(text)) == text


def test_three_roles_give_two_counterfactuals_and_come_round() -> None:
    text = "The Rabbi and the priest met in the Mosque."
    one, two = RELIGION.counterfactuals(text)
    assert one == "The Priest and the imam met in the Synagogue."
    assert RELIGION.swap(one, 2) == text
    assert RELIGION.swap(two, 1) == text
    assert RELIGION.mentions(text) == {"jewish people", "christians", "muslims"}


def test_a_text_without_attribute_words_has_no_counterfactual() -> None:
    assert GENDER.counterfactuals("Rain fell on the hills.") == []


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("the girl saw her", "the guy saw his"),  # the last row of a word wins
        ("his lady", "her lord"),
        ("mr. and sir", "ms. and miss"),
        ("the boy, she!", "the girl, he!"),  # one mark is set aside
        ("(he) saw the  king...", None),  # two marks, or one in front, are not
        ("He saw Her", None),  # lower-case lists against text as it stands
    ],
)
def test_published_swaps_have_the_published_quirks(text: str, swapped: str | None) -> None:
    assert PUBLISHED.counterfactuals(text) == ([] if swapped is None else [swapped])


def test_the_published_target_is_drawn_once_a_text() -> None:
    published = Swapper(WORD_ROWS["religion"], "bias-bench")
    found = {published.counterfactuals("jewish  rabbi", seed)[0] for seed in range(20)}
    assert found == {"christian priest", "muslim imam"}
    assert published.counterfactuals("jewish rabbi", 3) == published.counterfactuals(
        "jewish rabbi", 3
    )


def test_one_sided_augmentation_leaves_the_originals_out() -> None:
    two, changed = augment(LINES, WORD_ROWS["gender"], CdaConfig(), 0)
    one, _ = augment(LINES, WORD_ROWS["gender"], CdaConfig(sides="one"), 0)
    assert changed == 2
    assert one == ["the girl fed her horse", "he told the waitress a story"]
    assert set(two) == {*one, *LINES[:2]}


def test_published_blocks_train_on_padding() -> None:
    (block,) = padded_blocks([[5, 6], [7, 8, 9, 10]], 64, filler=1)
    assert block.ids == (5, 6, 1, 1, 7, 8, 9)
    assert block.targets == (6, 1, 1, 7, 8, 9, 10)
    assert [len(b.targets) for b in padded_blocks([[5] * 10], 4, filler=1)] == [3, 3]


def test_the_clean_variant_trains_on_no_padding() -> None:
    """A short text beside a long one counts with its own tokens."""
    model = tiny_causal_model()
    texts = ["the girl", "the girl fed her horse near the old station"]
    rows = text_rows(model, texts)
    assert [len(row.targets) for row in rows] == [len(model.encode(text)) for text in texts]
    with torch.no_grad():
        together = float(mean_logprob(model, rows))
    flat = [p for s in model.token_scores(texts, start=True) for p in s.logprobs]
    assert together == pytest.approx(sum(flat) / len(flat), abs=1e-4)


def request(
    model: LanguageModel, folder: Path, lines: tuple[str, ...] = LINES, domain: str = "gender"
) -> DebiasRequest:
    return DebiasRequest(
        model=model,
        domain=domain,
        neutral=tuple(
            Passage(id=str(i), text=t, domain="none", label="non-hateful", split="train")
            for i, t in enumerate(lines)
        ),
        steps=(4,),
        seed=0,
        data=DataStore(cache_dir=folder, offline=True, domains=BUILT_IN),
        progress=no_progress,
    )


@pytest.mark.parametrize("variant", ["clean", "bias-bench"])
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_cda_brings_counterfactuals_nearer(kind: str, variant: str, tmp_path: Path) -> None:
    model = tiny_causal_model() if kind == "causal" else tiny_masked_model()
    before = model.copy().token_scores(["the girl fed her horse"])[0].logprobs[1:].sum()
    config = CdaConfig(learning_rate=1e-2, variant=variant)  # type: ignore[arg-type]
    checkpoint = next(iter(Cda(config).debias(request(model, tmp_path))))
    after = checkpoint.model.token_scores(["the girl fed her horse"])[0].logprobs[1:].sum()
    assert after > before
    assert checkpoint.log["lines_with_an_attribute_word"] == 2


def test_bad_input_of_cda_ends_in_one_line(tmp_path: Path) -> None:
    model = tiny_causal_model()
    with pytest.raises(DebiasError, match="holds an attribute word of 'gender'"):
        list(Cda(CdaConfig()).debias(request(model, tmp_path, LINES[2:])))
    with pytest.raises(DebiasError, match="no word list for domain 'disability'"):
        list(Cda(CdaConfig()).debias(request(model, tmp_path, domain="disability")))


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("# trades\nbakers,smiths\nbaker, smith\n\nflour,Iron\n", encoding="utf-8")
    swapper = Swapper(word_rows("trades", path))
    assert swapper.swap("A Baker needs flour") == "A Smith needs iron"
    path.write_text("bakers,smiths\nbaker\n", encoding="utf-8")
    with pytest.raises(DebiasError, match=r"rows\.csv: line 2: give 2 words"):
        word_rows("trades", path)


def test_the_published_lists_are_taken_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "wordlists" / "bias_attribute_words.json"
    gender = word_rows("gender", path)
    assert len(gender.rows) == 57
    swapper = Swapper(gender, "bias-bench")
    (found,) = swapper.counterfactuals("the girl told her lady that mr. smith and sir john came")
    assert found == "the guy told his lord that ms. smith and miss john came"
    race = Swapper(word_rows("race", path), "bias-bench")
    drawn = {race.counterfactuals("black africa", seed)[0] for seed in range(20)}
    assert drawn == {"white europe", "asian asia"}
    with pytest.raises(DebiasError, match=r"no rows for domain 'age' \(lists: gender, race, rel"):
        word_rows("age", path)
    copy = tmp_path / "moved.json"
    copy.write_text(path.read_text("utf-8"), "utf-8")
    assert rows_fingerprint(copy) == rows_fingerprint(path) != rows_fingerprint(None)


def plain_loops(text: str, rows: WordRows) -> set[str]:
    """All that the published code may give: a token is compared with every word of every row, and
    each that fits overwrites the last."""
    found = set()
    count = len(rows.roles)
    for target in product(range(count), repeat=count):
        if any(role == other for role, other in enumerate(target)):
            continue
        tokens = []
        for token in text.split():
            swapped = token
            for row in rows.rows:
                for role, word in enumerate(row):
                    if token == word or (token[-1] in ".,?!;:" and token[:-1] == word):
                        swapped = row[target[role]] + token[len(word) :]
            tokens.append(swapped)
        found.add(" ".join(tokens))
    return found


def test_published_swaps_of_real_lines_are_those_of_the_plain_loop(
    shared_data: Path, data_store: DataStore
) -> None:
    from harness_corpora.wikitext2 import WikiText2

    asked = PassageRequest(
        domain="none", label="non-hateful", split="train", limit=150, seed=0, data=data_store
    )
    texts = [p.text.lower() for p in WikiText2(WikiText2.Config()).passages(asked)]
    for domain in ("gender", "race", "religion"):
        rows = word_rows(domain, shared_data / "wordlists" / "bias_attribute_words.json")
        swapper = Swapper(rows, "bias-bench")
        changed = [text for text in texts if swapper.counterfactuals(text)]
        assert len(changed) > 3
        for text in texts:
            found = swapper.counterfactuals(text) or [" ".join(text.split())]
            assert found[0] in plain_loops(text, rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "rows of words by domain are needed"),
        ('{"gender": [["he", 1]]}', r"gender\.0\.1"),
        ('{"gender": [["he", "she"], ["man"]]}', r"gender\.1: a row needs two words"),
        ('{"gender": []}', "gender has no rows"),
        ("{", "JSON"),
    ],
)
def test_a_json_list_with_a_mistake_is_told_in_one_line(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text, "utf-8")
    with pytest.raises(DebiasError, match=said) as raised:
        word_rows("gender", path)
    assert "\n" not in str(raised.value)
    assert "rows.json" in str(raised.value)


def logits(model: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        return model.training_logits([model.encode(LINES[0])], [0], [2])


def test_dropout_has_an_effect_while_training_and_none_after() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=1,
            eos_token_id=2,
        )
    ).eval()
    for module in (tiny_causal_model().module, llama):
        ids = torch.tensor([[3, 4, 5, 6]])

        def run(module: torch.nn.Module = module, ids: torch.Tensor = ids) -> torch.Tensor:
            with torch.no_grad():
                return torch.as_tensor(module(input_ids=ids).logits)

        plain = run()
        with raised_dropout(module, 0.5):
            assert torch.equal(run(), plain)
            module.train()
            assert not torch.allclose(run(), run())
            module.eval()
        assert torch.equal(run(), plain)


def test_dropout_knows_of_no_domain_and_learns(tmp_path: Path) -> None:
    assert Dropout.inputs == {"neutral"}
    model = tiny_causal_model()
    before = logits(model)
    checkpoint = next(
        iter(Dropout(Dropout.Config(learning_rate=1e-2)).debias(request(model, tmp_path)))
    )
    assert not torch.allclose(before, logits(checkpoint.model))
