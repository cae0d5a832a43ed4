"""Words in texts: the wordlist masker and the controls."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness_corpora.dghs import Dghs
from harness_corpora.domains import BUILT_IN
from harness_maskers import harm_lexicon
from harness_maskers.controls import CHOICE_VERSION, AllWords, RandomConfig, RandomWords
from harness_maskers.wordlist import LDNOOBW, Wordlist, WordlistConfig
from harness_maskers.words import Matcher, Rule, inflections
from pydantic import ValidationError

from harness.analysis.mask_summary import summarise
from harness.data.pins import check
from harness.data.places import DataStore
from harness.data.terms import term_pattern
from harness.data.words import touched, without_overlap, word_spans
from harness.errors import DataError
from harness.testing import check_masker
from harness.types import MaskedPassage, MaskRequest, Passage, PassageRequest, no_progress

SHARED = Path(__file__).parents[3] / "shared" / "data"


def _passage(text: str, name: str = "p") -> Passage:
    return Passage(id=name, text=text, domain="gender", label="hateful", split="train")


def _request(*texts: str, seed: int = 0, data: DataStore | None = None) -> MaskRequest:
    return MaskRequest(
        passages=tuple(_passage(text, f"p{i}") for i, text in enumerate(texts)),
        domain="gender",
        seed=seed,
        data=data or DataStore(offline=True, domains=BUILT_IN),
        progress=no_progress,
    )


def _words(answer: MaskedPassage) -> list[str]:
    return [answer.passage.text[span.start : span.end] for span in answer.spans]


def _found(text: str, *terms: str, **options: bool) -> list[str]:
    matches = Matcher([Rule("k", "list", terms)], **options).find(text)
    return [text[match.start : match.end] for match in matches]


# -- matching --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man, a MAN. Men?", ["man", "MAN", "Men"]),
        ("human manual German mankind", []),
        ("man-hater and anti-man", ["man", "man"]),
        ("the man's hat, the man’s hat", ["man", "man"]),
        ("man'll do; o'man", []),
        ("man_s word2man man2", ["man"]),
        ("Человекman", []),
        ("«man»", ["man"]),
        ("mans", ["mans"]),
    ],
)
def test_boundaries_of_a_word(text: str, expected: list[str]) -> None:
    assert _found(text, "man") == expected


def test_without_inflection_only_the_term_itself() -> None:
    assert _found("man mans men man's", "man", inflect=False) == ["man"]


def test_case_may_matter() -> None:
    assert _found("Rose rose ROSE", "Rose", ignore_case=False) == ["Rose"]
    assert _found("Rose rose ROSE", "rose") == ["Rose", "rose", "ROSE"]


@pytest.mark.parametrize(
    "written", ["single mother", "single  mother", "single\nmother", "Single-Mothers"]
)
def test_parts_of_a_term_may_be_apart(written: str) -> None:
    assert _found(f"a {written}, and a single, mother", "single mother") == [written]
    assert _found(f"a {written}, and a single, mother", "single-mother") == [written]


def test_letters_are_compared_as_unicode_says() -> None:
    composed, decomposed = "cafés", "cafe\u0301s"
    assert _found(f"{composed} {decomposed}", "café") == [composed, decomposed]
    assert _found("STRASSE Straße", "straße") == ["STRASSE", "Straße"]
    assert _found("cafe\u0301", "cafe") == []  # an accent is part of its letter
    assert _found("wo\u00admen wo\u200bmen", "women") == ["wo\u00admen", "wo\u200bmen"]
    assert _found("ｗｏｍｅｎ", "women") == ["ｗｏｍｅｎ"]


def test_vowel_signs_belong_to_their_word() -> None:
    text = "\u0939\u093f\u0928\u094d\u0926\u0942 \u0939\u093f\u0928\u094d\u0926"  # a Hindu, India
    hindu, india = text.split()
    assert _found(text, india) == [india]
    assert _found(text, hindu) == [hindu]
    assert [text[start:end] for start, end in word_spans(text)] == [hindu, india]
    assert [hit[0] for hit in term_pattern([india]).finditer(text)] == [india]


def test_signs_belong_to_a_term_that_has_them() -> None:
    assert _found("lgbtq+ or lgbtq", "lgbtq+", "lgbtq") == ["lgbtq+", "lgbtq"]
    assert _found("s&m, s & m, sam", "s&m") == ["s&m"]
    assert _found("c++ and c", "c++") == ["c++"]


def test_longest_wins_then_earliest_then_first_rule() -> None:
    assert _found("a b c d", "a b", "b c d") == ["b c d"]
    assert _found("a b c", "a b", "b c") == ["a b"]
    one, two = Rule("one", "one", ("pig",)), Rule("two", "two", ("pig",))
    assert [m.rule.kind for m in Matcher([one, two]).find("pig")] == ["one"]
    assert [m.rule.kind for m in Matcher([two, one]).find("pig")] == ["two"]


def test_a_listed_form_is_named_before_an_inflected_one() -> None:
    (match,) = Matcher([Rule("k", "list", ("woman", "women"))]).find("Women")
    assert match.term == "women"


@pytest.mark.parametrize(
    ("term", "plural"),
    [
        ("girl", "girls"),
        ("lady", "ladies"),
        ("boy", "boys"),
        ("witch", "witches"),
        ("single woman", "single women"),
        ("spokesman", "spokesmen"),
        ("human", "humans"),
        ("wife", "wives"),
        ("grandchild", "grandchilds"),
        ("child", "children"),
        ("old person", "old people"),
    ],
)
def test_plurals(term: str, plural: str) -> None:
    assert plural in inflections(term)
    assert term in inflections(term)


def test_no_plural_of_what_does_not_end_in_a_letter() -> None:
    assert inflections("lgbtq+") == {"lgbtq+"}


# -- wordlist --------------------------------------------------------------------------------


def test_masks_terms_of_the_domain_and_says_why() -> None:
    text = "The women and the single mother are Muslims."
    (answer,) = check_masker(Wordlist, passages=[_passage(text)])
    assert _words(answer) == ["women", "single mother"]
    assert [span.kind for span in answer.spans] == ["attribute", "attribute"]
    assert answer.spans[1].reason == "gender terms: single mother"
    (other,) = check_masker(Wordlist, passages=[_passage(text)], domain="religion")
    assert _words(other) == ["Muslims"]


def test_every_attribute_term_of_a_domain_is_found() -> None:
    for domain in ("gender", "race", "orientation", "disability"):
        for term in BUILT_IN.attribute_terms(domain):
            (answer,) = check_masker(
                Wordlist, passages=[_passage(f"So {term}, yes")], domain=domain
            )
            assert _words(answer) == [term]


def test_insults_written_by_hand() -> None:
    config = {"rules": ["harm"], "harm_list": "builtin"}
    (answer,) = check_masker(Wordlist, config, passages=[_passage("Women are useless idiots.")])
    assert _words(answer) == ["useless", "idiots"]
    assert answer.spans[1].reason == f"harm lexicon {harm_lexicon.VERSION}: idiot"
    assert {span.kind for span in answer.spans} == {"harm"}
    assert len(set(harm_lexicon.TERMS)) == len(harm_lexicon.TERMS) > 100
    assert all(term == term.lower().strip() for term in harm_lexicon.TERMS)


def test_named_rules() -> None:
    text = "The women are repulsive."
    for rule, words in {
        "attribute": ["women"],
        "harm": ["repulsive"],
        "both": ["women", "repulsive"],
    }.items():
        for written in (rule, [rule]):
            masker = Wordlist(WordlistConfig.model_validate({"rules": written}))
            assert _words(masker.mask(_request(text))[0]) == words
    both = WordlistConfig.model_validate({"rules": "both"})
    assert both == WordlistConfig(rules=("attribute", "harm"))  # one content key
    with pytest.raises(ValidationError, match="twice"):
        WordlistConfig.model_validate({"rules": ["both", "harm"]})


def test_attribute_and_harm_never_mask_the_same_word() -> None:
    """The derived lexicon holds no group term, so the two rules are different treatments."""
    for name, domain in BUILT_IN.items():
        matcher = Matcher([Rule(name, name, domain.attribute_terms())])
        assert not [term for term in harm_lexicon.derived_terms() if matcher.find(term)]


def test_own_list(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("# mine\n\nGreen Door\ncafé\n", encoding="utf-8")
    config: dict[str, Any] = {"rules": ["file", "attribute"], "path": str(path)}
    (answer,) = check_masker(
        Wordlist, config, passages=[_passage("The green doors, the women, the CAFÉ.")]
    )
    assert _words(answer) == ["green doors", "women", "CAFÉ"]
    assert [span.kind for span in answer.spans] == ["file", "attribute", "file"]
    assert answer.spans[0].reason.startswith("mine.txt (sha256 ")
    assert answer.spans[0].reason.endswith("): Green Door")


def test_fingerprint_follows_the_terms_of_the_lists(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    masker = Wordlist(WordlistConfig(rules=("file",), path=path))
    data = DataStore(offline=True, domains=BUILT_IN)
    path.write_text("one\ntwo\n")
    first = masker.fingerprint(data)
    path.write_text("# the same\none\n\ntwo\n")
    assert masker.fingerprint(data) == first
    path.write_text("one\nthree\n")
    assert masker.fingerprint(data) != first
    control = RandomWords(RandomConfig(like=masker.config))
    assert control.fingerprint(data) == {**masker.fingerprint(data), "choice": CHOICE_VERSION}
    plain = Wordlist(WordlistConfig()).fingerprint(data)
    assert plain["attribute"] == BUILT_IN.terms_digest()


def test_ldnoobw_is_the_pinned_list_and_is_used(tmp_path: Path) -> None:
    path = SHARED / LDNOOBW.filename
    checked = check(LDNOOBW, path)
    assert checked.state == "bytes ok"
    assert len(checked.rows) == LDNOOBW.n_items
    reordered = tmp_path / "list.txt"
    reordered.write_text("".join(reversed(path.read_text("utf-8").splitlines(keepends=True))))
    assert check(LDNOOBW, reordered).state == "altered"
    term = next(row[0] for row in checked.rows if len(row[0]) > 6 and row[0].isalpha())
    masker = Wordlist(WordlistConfig(rules=("harm",), harm_list="ldnoobw"))
    (answer,) = masker.mask(
        _request(f"so {term}, so", data=DataStore(data_dir=SHARED, domains=BUILT_IN))
    )
    assert _words(answer) == [term]
    assert answer.spans[0].reason.startswith("ldnoobw-en (sha256 ")


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "no such word list"), (b"", "has no term"), (b"# none\n", "has no term")],
)
def test_unusable_list(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "mine.txt"
    if content is not None:
        path.write_bytes(content)
    masker = Wordlist(WordlistConfig(rules=("file",), path=path))
    with pytest.raises(DataError, match=told) as error:
        masker.fingerprint(DataStore(offline=True, domains=BUILT_IN))
    assert str(path) in str(error.value)


def test_list_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes("café\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8") as error:
        Wordlist(WordlistConfig(rules=("file",), path=path)).fingerprint(
            DataStore(offline=True, domains=BUILT_IN)
        )
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"rules": []}, "at least 1"),
        ({"rules": ["file"]}, "go together"),
        ({"path": "x"}, "go together"),
        ({"rules": ["harm", "harm"]}, "twice"),
        ({"rules": ["slurs"]}, "attribute"),
    ],
)
def test_config_mistakes(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        WordlistConfig.model_validate(config)


def test_domain_without_terms_is_told(tmp_path: Path) -> None:
    request = _request("Some text.").model_copy(update={"domain": "profession"})
    with pytest.raises(DataError, match="profession"):
        Wordlist(WordlistConfig()).mask(request)


def _chosen_by_comparing(length: int, candidates: Sequence[tuple[int, int]]) -> list[int]:
    """`without_overlap`, the quadratic way."""
    chosen: list[int] = []
    for i, (start, end) in enumerate(candidates):
        if not any(start < candidates[j][1] and candidates[j][0] < end for j in chosen):
            chosen.append(i)
    return chosen


def test_linear_helpers_agree_with_comparing_all_pairs() -> None:
    rng = random.Random(0)
    for _ in range(200):
        length = rng.randint(1, 60)
        ranges = []
        for _ in range(rng.randint(0, 30)):
            start = rng.randrange(length)
            ranges.append((start, rng.randint(start + 1, length)))
        chosen = without_overlap(length, ranges)
        assert chosen == _chosen_by_comparing(length, ranges)
        spans = sorted(ranges[i] for i in chosen)
        words = sorted(ranges[i] for i in without_overlap(length, list(reversed(ranges))))
        assert touched(words, spans) == [any(a < d and c < b for c, d in spans) for a, b in words]


@pytest.mark.parametrize(
    "passage",
    [
        "the women at the old harbour would not wait for the ferry, so the men left alone ",
        "women ",
        "single mother ",
        "single " + " " * 60,
        "w" + "\u0316\u0301" * 40,
        "women-",
        "women'",
    ],
    ids=["plain", "all masked", "two words", "spaces", "accents", "hyphens", "apostrophes"],
)
def test_time_is_linear_in_a_long_passage(passage: str) -> None:
    """A megabyte took 300 s; eight times the length must not take much more than eight times."""

    def seconds(size: int) -> float:
        request = _request(passage * (size // len(passage)), "Nothing here.")
        began = time.process_time()
        answers = RandomWords(RandomConfig(match="frequency")).mask(request)
        summarise(answers)
        return time.process_time() - began

    seconds(1_000)  # the first call builds the index of terms
    short = max(seconds(8_000), seconds(8_000))
    long = min(seconds(64_000), seconds(64_000))  # other work of this process may fall into one
    assert long < 20 * short + 0.5


def test_thousands_of_texts_take_seconds() -> None:
    text = "the women at the old harbour would not wait for the ferry, so the men left alone " * 2
    began = time.perf_counter()
    answers = Wordlist(WordlistConfig(rules=("attribute", "harm"))).mask(_request(*[text] * 2000))
    assert time.perf_counter() - began < 20
    assert all(len(answer.spans) == 4 for answer in answers)


# -- controls --------------------------------------------------------------------------------


def _count(answer: MaskedPassage) -> int:
    """Number of words masked."""
    spans = [(span.start, span.end) for span in answer.spans]
    return sum(touched(word_spans(answer.passage.text), spans))


def test_random_masks_as_many_other_words() -> None:
    texts = [
        "The women and the single mother went to the shop yesterday evening.",
        "Nothing here names anybody at all.",
        "Girls like the ferry, and boys like the train to the coast.",
    ]
    rule = Wordlist(WordlistConfig()).mask(_request(*texts))
    chosen = RandomWords(RandomConfig()).mask(_request(*texts))
    assert [len(answer.spans) for answer in chosen] == [2, 0, 2]
    assert [_count(answer) for answer in chosen] == [3, 0, 2]  # "single mother": two words
    for a, b in zip(rule, chosen, strict=True):
        words = word_spans(a.passage.text)
        for span in b.spans:
            assert span.start in {start for start, _ in words}
            assert span.end in {end for _, end in words}
            assert not any(span.start < s.end and s.start < span.end for s in a.spans)
    assert {span.kind for answer in chosen for span in answer.spans} == {"random"}


def test_random_depends_on_seed_and_id_alone() -> None:
    text = "The women went to the harbour to wait for the early ferry to the other coast."
    masker = RandomWords(RandomConfig())

    def words(*texts: str, seed: int) -> list[str]:
        return _words(masker.mask(_request(*texts, seed=seed))[0])

    assert words(text, seed=1) == words(text, "Other women.", seed=1)
    assert len({tuple(words(text, seed=seed)) for seed in range(20)}) > 5


def test_random_is_uniform_over_the_other_words() -> None:
    texts = ["women one two three four"] * 4000
    picked = [_words(a)[0] for a in RandomWords(RandomConfig()).mask(_request(*texts))]
    for word in ("one", "two", "three", "four"):
        assert picked.count(word) == pytest.approx(1000, abs=5 * (4000 * 0.25 * 0.75) ** 0.5)


def test_random_with_too_few_other_words_masks_all_of_them() -> None:
    (answer,) = RandomWords(RandomConfig()).mask(_request("Women, girls, ladies: no."))
    assert _words(answer) == ["no"]


def test_random_answers_a_term_by_as_many_adjacent_words() -> None:
    text = "single mothers wait. for ferries, and trains go by"
    pairs = {"for ferries", "and trains", "trains go", "go by"}  # not across a full stop or comma
    texts = [text] * 2000
    chosen = [_words(a) for a in RandomWords(RandomConfig()).mask(_request(*texts))]
    assert all(len(words) == 1 for words in chosen)
    for pair in pairs:
        share = sum(words == [pair] for words in chosen)
        assert share == pytest.approx(500, abs=5 * (2000 * 0.25 * 0.75) ** 0.5)


def test_random_shortens_what_does_not_fit() -> None:
    (answer,) = RandomWords(RandomConfig()).mask(_request("Single mothers: so. No."))
    assert _words(answer) in (["so"], ["No"])


@pytest.mark.parametrize("rules", ["attribute", "both"])
@pytest.mark.parametrize("match", ["count", "frequency"])
def test_random_counts_units_and_words_as_the_rule_does(rules: str, match: str) -> None:
    """On real passages (EVIDENCE: 750 units where the word list masked 609)."""
    request = _dghs(300)
    like = WordlistConfig.model_validate({"rules": rules})
    rule = Wordlist(like).mask(request)
    config = RandomConfig.model_validate({"like": like, "match": match})
    chosen = RandomWords(config).mask(request)
    units = [sum(len(answer.spans) for answer in answers) for answers in (rule, chosen)]
    words = [sum(map(_count, answers)) for answers in (rule, chosen)]
    assert units[0] > 300
    assert units[1] / units[0] == pytest.approx(1, abs=0.01)  # a few passages have too few words
    assert words[1] / words[0] == pytest.approx(1, abs=0.01)


def test_frequency_match_brings_frequencies_near() -> None:
    request = _dghs(300)
    counts: Counter[str] = Counter()
    for passage in request.passages:
        text = passage.text
        counts.update({text[start:end].casefold() for start, end in word_spans(text)})

    def log_frequency(answers: Sequence[MaskedPassage]) -> float:
        masked = [word.casefold() for answer in answers for word in _words(answer)]
        return sum(math.log2(counts[word]) for word in masked if word in counts) / len(masked)

    rule = log_frequency(Wordlist(WordlistConfig()).mask(request))
    apart = {
        match: abs(log_frequency(RandomWords(RandomConfig(match=match)).mask(request)) - rule)
        for match in ("count", "frequency")
    }
    assert apart["count"] > 1.0  # unmatched words are more than half as frequent, or twice
    assert apart["frequency"] < 0.5 * apart["count"]


def _dghs(limit: int) -> MaskRequest:
    data = DataStore(data_dir=SHARED, offline=True, domains=BUILT_IN)
    asked = PassageRequest(
        domain="gender", label="hateful", split="train", limit=limit, seed=0, data=data
    )
    passages = tuple(Dghs(Dghs.Config()).passages(asked))
    return MaskRequest(passages=passages, domain="gender", data=data, progress=no_progress)


def test_random_can_be_like_any_wordlist() -> None:
    check_masker(RandomWords, {"like": {"rules": ["harm", "attribute"], "inflect": False}})


def test_all_is_one_span_over_the_text() -> None:
    (answer,) = check_masker(AllWords, passages=[_passage("  A whole text. \n")])
    assert _words(answer) == ["A whole text."]
    assert answer.spans[0].kind == "all"


# -- what masks amount to --------------------------------------------------------------------


def test_summary_counts() -> None:
    answers = Wordlist(WordlistConfig()).mask(
        _request("Women wait here.", "Some women like other women.", "Nobody is here today.")
    )
    summary = summarise(answers)
    assert (summary.passages, summary.masked_passages, summary.spans) == (3, 2, 3)
    assert (summary.words, summary.masked_words) == (12, 3)
    assert (summary.at_start, summary.little_context, summary.repeated) == (1, 2, 1)
    assert (summary.words_after_first, summary.words_of_masked) == (2 + 3, 3 + 5)
    assert summary.kinds == {"attribute": 3}
    assert summary.reasons == {"gender terms: women": 3}
    assert summary.spans_per_passage == 1.0
    assert summarise([]).spans_per_passage is None


def test_summary_of_all_leaves_nothing_behind() -> None:
    summary = summarise(AllWords(AllWords.Config()).mask(_request("One two three.")))
    assert (summary.masked_words, summary.words_after_first, summary.at_start) == (3, 0, 1)
