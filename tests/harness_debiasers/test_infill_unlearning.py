"""Infill unlearning against brute force, finite differences, and the paper's method."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness_debiasers.infill_candidates import CandidateChooser
from harness_debiasers.infill_unlearning import (
    Example,
    InfillUnlearning,
    InfillUnlearningConfig,
    drawn_weights,
    gradient_weights,
    posterior_loss,
)
from harness_debiasers.mlm_unlearning import MlmUnlearning, MlmUnlearningConfig
from word_model import WORDS, word_model

from harness.boundary import run_debiaser
from harness.data.domains import Domain, Domains
from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.lm.infill import (
    MarkedText,
    Slot,
    left_logprobs,
    log_sum_exp,
    outside_share,
    score_fillers,
    slots_of,
    tail_log_mass,
    two_sided_proposal,
    with_right,
    word_filler,
)
from harness.lm.transformers_model import TransformersModel
from harness.plugins import load_registry
from harness.running.experiment import Experiment
from harness.testing import (
    check_debiaser,
    load_plugin,
    save_tiny_model,
    tiny_causal_model,
    tiny_masked_model,
)
from harness.types import DebiasRequest, MaskedPassage, Passage, Span, no_progress

VOCABULARY = len(WORDS) + 2
EVERY_TOKEN = tuple((token,) for token in range(VOCABULARY))


def passage(text: str, *words: str) -> MaskedPassage:
    spans = []
    for word in words:
        start = text.index(word)
        spans.append(Span(start=start, end=start + len(word), kind="attribute", reason="test"))
    made = Passage(id=text, text=text, domain="gender", label="hateful", split="train")
    return MaskedPassage(passage=made, spans=tuple(spans))


def slot_of(model: TransformersModel, text: str, word: str) -> Slot:
    start = text.index(word)
    (slot,) = slots_of(model, [MarkedText(text, ((start, start + len(word)),))]).slots
    return slot


def every_filler(slot: Slot) -> tuple[tuple[int, ...], ...]:
    return tuple(dict.fromkeys([slot.word, *EVERY_TOKEN]))


def request(model: Any, masked: list[MaskedPassage], steps: tuple[int, ...]) -> DebiasRequest:
    return DebiasRequest(
        model=model,
        domain="gender",
        masked=tuple(masked),
        steps=steps,
        data=DataStore(offline=True),
        progress=no_progress,
    )


def test_the_posterior_is_that_of_all_completions() -> None:
    """P(a | p, s) from the joint distribution of every three words after p."""
    model = word_model()
    slot = slot_of(model, "the old women like cats", "women")
    completions = list(product(range(VOCABULARY), repeat=3))
    rows = torch.tensor([[*slot.left, *completion] for completion in completions])
    with torch.no_grad():
        table = torch.log_softmax(model.module(rows).logits, dim=-1)
    steps = [table[:, k - 1].gather(-1, rows[:, k].unsqueeze(-1)) for k in range(-3, 0)]
    joint = torch.cat(steps, dim=-1).sum(dim=-1).exp().numpy()
    assert joint.sum() == pytest.approx(1.0, abs=1e-9)
    agree = np.array([completion[1:] == slot.right for completion in completions])
    expected = {completions[k][0]: joint[k] / joint[agree].sum() for k in np.flatnonzero(agree)}
    (scores,) = score_fillers(model, [slot], [EVERY_TOKEN])
    assert scores.posterior() == pytest.approx([expected[t] for (t,) in EVERY_TOKEN], abs=1e-6)


@pytest.mark.parametrize("form", ["ascent", "npo", "ce-u", "equalise"])
def test_weights_are_the_derivatives_of_the_loss(form: Any) -> None:
    rng = np.random.default_rng(0)
    scores, prior = rng.normal(size=7), np.log(rng.dirichlet(np.ones(7)))

    def loss(values: np.ndarray) -> float:
        posterior = np.exp(values - log_sum_exp(values))
        if form != "ce-u":
            return gradient_weights(posterior, form, beta=0.5, base=-1.0, prior=prior)[0]
        # the target of ce-u is held fixed, as a cross entropy towards a constant
        start = np.exp(scores - log_sum_exp(scores))
        target = np.append(0.0, start[1:] / start[1:].sum())
        return float(-(target[1:] * np.log(posterior[1:])).sum())

    posterior = np.exp(scores - log_sum_exp(scores))
    value, weights = gradient_weights(posterior, form, beta=0.5, base=-1.0, prior=prior)
    assert value == pytest.approx(loss(scores))
    step = 1e-6 * np.eye(7)
    numeric = [(loss(scores + s) - loss(scores - s)) / 2e-6 for s in step]
    assert weights == pytest.approx(numeric, abs=1e-7)
    assert weights.sum() == pytest.approx(0.0, abs=1e-12)


def test_the_gradient_is_that_of_finite_differences() -> None:
    model = word_model()
    slot = slot_of(model, "the old women like cats", "women")
    config = InfillUnlearningConfig(form="ascent", negatives=None)
    example = Example(slot, every_filler(slot), 0.0, None)
    weight = model.module.transformer.h[0].mlp.c_fc.weight  # type: ignore[union-attr]
    loss, _ = posterior_loss(model, [example], config, np.random.default_rng(0))
    loss.backward()  # type: ignore[no-untyped-call]

    def log_posterior() -> float:
        (scores,) = score_fillers(model, [slot], [example.fillers])
        return float(scores.both[0] - log_sum_exp(scores.both))

    assert float(loss.detach()) == pytest.approx(log_posterior(), abs=1e-6)
    for place in [(0, 0), (3, 5), (15, 60)]:
        with torch.no_grad():
            weight[place] += 1e-5
            above = log_posterior()
            weight[place] -= 2e-5
            below = log_posterior()
            weight[place] += 1e-5
        assert weight.grad is not None
        assert float(weight.grad[place]) == pytest.approx((above - below) / 2e-5, abs=1e-5)


def test_drawn_weights_have_the_exact_ones_as_their_mean() -> None:
    posterior = np.random.default_rng(1).dirichlet(np.ones(9))
    for form in ("ascent", "ce-u"):
        _, weights = gradient_weights(posterior, form)  # type: ignore[arg-type]
        rng = np.random.default_rng(2)
        total = np.zeros(9)
        for _ in range(4000):
            drawn = drawn_weights(weights, 2, rng)
            assert sum(drawn.values()) == pytest.approx(0.0, abs=1e-12)
            for k, weight in drawn.items():
                total[k] += weight / 4000
        spread = np.sqrt(np.abs(weights) * np.abs(weights[1:]).sum() / 2 / 4000)
        assert np.all(np.abs(total - weights) <= 5 * spread + 1e-12)
    assert drawn_weights(weights, None, rng) == dict(enumerate(weights))


def test_the_negative_phase_has_zero_mean() -> None:
    """The sum over fillers of pi(b) grad log pi(b) is zero."""
    model = word_model()
    slot = slot_of(model, "the old women like cats", "women")
    (scores,) = score_fillers(model, [slot], [EVERY_TOKEN])
    posterior = scores.posterior()
    total = np.zeros(VOCABULARY)
    for k in range(VOCABULARY):
        order = [k, *(j for j in range(VOCABULARY) if j != k)]
        _, weights = gradient_weights(posterior[order], "ascent")
        total[order] += posterior[k] * weights
    assert total == pytest.approx(np.zeros(VOCABULARY), abs=1e-12)


def test_the_mass_outside_is_estimated_without_bias() -> None:
    model = word_model()
    slot = slot_of(model, "the old women like cats", "women")
    (table,) = left_logprobs(model, [slot])
    (scores,) = score_fillers(model, [slot], [EVERY_TOKEN])
    inside = [slot.word, (5,), (7,)]
    outside = [k for k, filler in enumerate(EVERY_TOKEN) if filler not in inside]
    exact = float(np.exp(scores.both[outside]).sum())
    rng = np.random.default_rng(3)
    slots, sets, tables = [slot] * 200, [inside] * 200, [table] * 200
    drawn = np.exp(tail_log_mass(model, slots, sets, tables, 8, rng))
    error = drawn.std(ddof=1) / np.sqrt(len(drawn))
    assert error < 0.1 * exact
    assert drawn.mean() == pytest.approx(exact, abs=4 * error)
    (some,) = score_fillers(model, [slot], [inside])
    assert outside_share(some, np.log(exact)) == pytest.approx(exact / np.exp(scores.both).sum())
    (nothing,) = tail_log_mass(model, [slot], [EVERY_TOKEN], [table], 8, rng)
    assert outside_share(scores, nothing) == 0.0


def test_the_two_sided_proposal_is_exact_to_first_order() -> None:
    """Along the embedding, the guess has the slope of log P(s | p, a)."""
    model = word_model()
    slot = slot_of(model, "the old women like cats", "women")
    (table,) = left_logprobs(model, [slot])
    guess = two_sided_proposal(model, slot, table) - table
    embed = model.module.get_input_embeddings()  # type: ignore[operator]
    (word,) = slot.word
    end = len(slot.left) + 1

    def right(vector: torch.Tensor) -> float:
        ids = torch.tensor([slot.window(slot.word)])
        inputs = embed(ids).clone()
        inputs[0, len(slot.left)] = vector
        logits = torch.log_softmax(model.module(inputs_embeds=inputs).logits[0, end - 1 : -1], -1)
        return float(logits.gather(-1, ids[0, end:].unsqueeze(-1)).sum())

    with torch.no_grad():
        for other in (3, 9, 15):
            towards = embed.weight[other] - embed.weight[word]
            numeric = right(embed.weight[word] + 1e-6 * towards)
            numeric -= right(embed.weight[word] - 1e-6 * towards)
            assert guess[other] == pytest.approx(numeric / 2e-6, abs=1e-5)
    assert guess[word] == pytest.approx(0.0, abs=1e-12)
    assert two_sided_proposal(model, with_right(slot, 0), table) is table


def test_with_an_empty_suffix_and_the_vocabulary_it_is_the_papers_method() -> None:
    """Loss, gradient and ten steps equal those of `mlm-unlearning` where nothing follows."""
    masked = [
        passage("the old women", "women"),
        passage("i hear young girls", "girls"),
        passage("dogs never see men", "men"),
    ]
    common = {"learning_rate": 1e-3, "batch_size": 2}
    theirs = MlmUnlearning(MlmUnlearningConfig(**common))  # type: ignore[arg-type]
    ours = InfillUnlearning(
        InfillUnlearningConfig(
            **common,  # type: ignore[arg-type]
            form="ascent",
            candidates=("vocabulary",),
            negatives=None,
            slots="all",
            checked=0,
        )
    )
    plain = InfillUnlearning(InfillUnlearningConfig(**common, suffix="none"))  # type: ignore[arg-type]
    steps = (1, 10)
    runs = {}
    for name, method in {"theirs": theirs, "ours": ours, "plain": plain}.items():
        model = word_model()
        logs = []
        for checkpoint in method.debias(request(model, masked, steps)):
            logs.append((checkpoint.log["mean_loss"], checkpoint.log["mean_grad_norm"]))
        runs[name] = (logs, [p.detach().clone() for p in model.module.parameters()])
    for name in ("ours", "plain"):
        assert np.array(runs[name][0]) == pytest.approx(np.array(runs["theirs"][0]), abs=1e-5)
        for one, other in zip(runs[name][1], runs["theirs"][1], strict=True):
            assert float((one - other).abs().max()) < 2e-5


@pytest.mark.parametrize("form", ["ascent", "npo", "ce-u", "equalise"])
@pytest.mark.parametrize("suffix", ["normalised", "left"])
def test_every_form_keeps_the_contract(form: str, suffix: str) -> None:
    config = {
        "form": form,
        "suffix": suffix,
        "learning_rate": 1e-3,
        "checked": 3,
        "batch_size": 12,  # every passage, so that steps can be compared
        "slots": "all",
    }
    (first, last) = check_debiaser(InfillUnlearning, config, steps=(1, 6))
    assert first.log["candidates_mean"] == 8.0
    assert 0.0 <= float(str(first.log["mass_outside_median"])) <= 1.0
    if form != "equalise":
        key = "mean_masked_word_logposterior"
        assert float(str(last.log[key])) < float(str(first.log[key]))


def test_plain_lowers_the_word_and_its_suffix() -> None:
    config = {"suffix": "plain", "learning_rate": 1e-3, "slots": "all", "batch_size": 12}
    first, last = check_debiaser(InfillUnlearning, config, steps=(1, 6))
    key = "mean_masked_word_logprob"
    assert float(str(last.log[key])) < float(str(first.log[key]))


def test_slots_at_the_ends_and_between() -> None:
    model = tiny_causal_model()
    text = "Women wait near the old station with girls"
    words = ("Women", "station", "girls")
    spans = tuple((text.index(word), text.index(word) + len(word)) for word in words)
    found = slots_of(model, [MarkedText(text, spans), MarkedText("no mask here", ())])
    assert (found.lost, found.cut) == (0, 0)
    first, middle, last = found.slots
    assert first.left == (model.start_id,)
    assert last.right == ()
    assert middle.right
    for slot in found.slots:
        assert slot.window(slot.word) == (model.start_id, *model.encode(text))


def test_a_suffix_beyond_the_context_is_cut_and_a_word_beyond_it_lost() -> None:
    model = tiny_causal_model()
    text = "women " + "wait near the old station " * 30 + "girls"
    spans = ((0, 5), (len(text) - 5, len(text)))
    found = slots_of(model, [MarkedText(text, spans)])
    assert (found.lost, found.cut, len(found.slots)) == (1, 1, 1)
    window = found.slots[0].window(found.slots[0].word)
    assert len(window) == model.max_tokens - 1
    score_fillers(model, found.slots, [[found.slots[0].word, (*found.slots[0].word, 9)]])


def test_words_of_several_tokens_fit_a_slot_of_one_and_take_its_capital() -> None:
    model = tiny_causal_model()
    text = "Women wait near the old station"
    slot = slots_of(model, [MarkedText(text, ((0, 5),))]).slots[0]
    filler = word_filler(model, slot, "grandmothers")
    assert filler is not None
    assert len(filler) > 1
    assert list(slot.window(filler)[1:]) == model.encode(text.replace("Women", "Grandmothers"))


def test_candidates_come_from_their_sources_and_are_distinct() -> None:
    model = tiny_causal_model()
    text = "I hear that women wait near the station"
    slot = slots_of(model, [MarkedText(text, ((12, 17),))]).slots
    for sources in (("group-words",), ("left-context", "both-contexts"), ("left-context",)):
        chooser = CandidateChooser(model, load_registry().domains, sources, 6)  # type: ignore[arg-type]
        ((fillers,), (table,)) = chooser.choose(model, slot)
        assert len(fillers) == len(set(fillers)) == 6
        assert fillers[0] == slot[0].word
    best = [int(token) for token in np.argsort(-table)[:5]]
    assert [filler[0] for filler in fillers[1:]] == [t for t in best if (t,) != fillers[0]]


def test_what_cannot_be_done_is_one_line() -> None:
    entry = load_plugin(InfillUnlearning)
    masked = [passage("Women wait near the station", "Women")]
    with pytest.raises(DebiasError, match="'infill-unlearning' works on causal models"):
        list(
            run_debiaser(
                entry,
                InfillUnlearning(InfillUnlearningConfig()),
                request(tiny_masked_model(), masked, (1,)),
            )
        )
    lonely = InfillUnlearning(InfillUnlearningConfig(candidates=("group-words",), count=2))
    with pytest.raises(DebiasError, match="no masked word has a candidate beside itself"):
        # no domain, so there is no group word
        list(lonely.debias(request(word_model(), [passage("the old women", "women")], (1,))))
    broken = InfillUnlearning(InfillUnlearningConfig(form="equalise", template="no place"))
    with pytest.raises(DebiasError, match=r"template 'no place' has no \{\}"):
        list(broken.debias(request(tiny_causal_model(), masked, (1,))))


def test_unknown_words_are_no_candidates() -> None:
    """A model of whole words has one token for every word that it does not know."""
    model = word_model()
    slot = slot_of(model, "the women hear the cats", "women")
    assert word_filler(model, slot, "girls") == (WORDS.index("girls") + 2,)
    assert word_filler(model, slot, "grandmothers") is None
    chooser = CandidateChooser(model, load_registry().domains, ("group-words",), 30)
    ((fillers,), _) = chooser.choose(model, [slot])
    assert (model.tokenizer.unk_token_id,) not in fillers
    names = {" ".join(WORDS[token - 2] for token in filler) for filler in fillers}
    assert {"women", "men", "girls", "boys"} <= names


def test_candidates_longer_than_the_word_stay_within_the_context() -> None:
    """A slot near the end of the context has room for short candidates only."""
    model = tiny_causal_model()
    words = ["wait"] * 200
    while len(model.encode(" ".join(words))) + 3 > model.max_tokens:
        words.pop()
    text = " ".join([*words, "men", "wait", "here"])
    start = len(" ".join(words)) + 1
    (slot,) = slots_of(model, [MarkedText(text, ((start, start + 3),))]).slots
    chooser = CandidateChooser(model, load_registry().domains, ("group-words",), 20)
    ((fillers,), _) = chooser.choose(model, [slot])
    assert len(fillers) > 1
    assert max(len(slot.window(filler)) for filler in fillers) <= model.max_tokens
    score_fillers(model, [slot], [fillers])


def test_words_without_candidates_among_others_do_not_end_a_fit() -> None:
    """Only a fit in which no word has another candidate is refused, however few are checked."""
    model = word_model()
    terms = {"women": ("girls",), "men": ("boys",)}
    data = DataStore(offline=True).knowing(Domains([Domain(name="gender", terms=terms)]))
    texts = [passage("the girls hear the cats", "girls"), passage("the boys hear dogs", "boys")]
    lonely = [passage(f"the {word} women hear", "women") for word in ("old", "young")]
    config = InfillUnlearningConfig(candidates=("group-words",), checked=1, batch_size=4)
    asked = request(model, [*lonely, *texts], (2,)).model_copy(update={"data": data})
    (point,) = InfillUnlearning(config).debias(asked)
    assert point.log["words"] == 4


def test_a_run_goes_on_where_infilling_cannot_be_done(tmp_path: Path) -> None:
    """Each problem fails its own cells with one line, and costs the others nothing."""
    for kind in ("causal", "masked"):
        save_tiny_model(tmp_path / kind, kind)
    long = "women " + "wait near the old station " * 40 + "with girls"
    rows = ["text,label,domain,split", f"{long},hateful,gender,train"]
    rows += [f"I hear that women sell {w},hateful,gender,train" for w in ("tea", "rice", "salt")]
    (tmp_path / "passages.csv").write_text("\n".join(rows), "utf-8")
    spec = {
        "name": "infill",
        "model": [{"use": "hf", "id": str(tmp_path / k), "as": k} for k in ("causal", "masked")],
        "corpus": {
            "use": "file",
            "path": str(tmp_path / "passages.csv"),
            "label": "label",
            "domain": "domain",
            "split": "split",
        },
        "source": "gender",
        "masker": "wordlist",
        "debiaser": [
            {"use": "infill-unlearning", "learning_rate": 1e-3},
            {"use": "infill-unlearning", "as": "no-place", "form": "equalise", "template": "here"},
            {"use": "mlm-unlearning", "learning_rate": 1e-3},
        ],
        "evaluators": "embedded-pairs",
        "steps": 2,
        "limits": {"items": 2},
    }
    data = DataStore(cache_dir=tmp_path / "cache", offline=True)
    done = Experiment.from_mapping(
        spec, registry=load_registry(), data=data, folder=tmp_path / "run"
    )
    failures = dict(done.run().failures)
    said = " ".join(failures.values())
    assert len(failures) == 3
    assert "debiaser 'infill-unlearning' works on causal models" in said
    assert "template 'here' has no {}" in said
    assert not any("\n" in reason for reason in failures.values())
    measured = {
        (cell.model, cell.debiaser)
        for cell in done.store.index().cells
        if cell.debiaser and all(done.store.has_record(ref.key) for ref in cell.measures)
    }
    assert measured == {
        ("causal", "infill-unlearning"),
        ("causal", "mlm-unlearning"),
        ("masked", "mlm-unlearning"),
    }
    (fit,) = [c for c in done.store.index().cells if (c.model, c.debiaser) == min(measured)]
    record = done.store.record(fit.measures[-1].key)
    assert record is not None
    # the last word of the long passage is beyond the context, and its first word's suffix is cut
    assert (record.fit_log["words_lost"], record.fit_log["suffixes_cut"]) == (1, 1)
