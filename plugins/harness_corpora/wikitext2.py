"""``wikitext2``: plain text for methods that learn from neutral sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.data.domains import NO_DOMAIN
from harness.data.pins import Pin, Row
from harness.data.tabular import read_utf8
from harness.data.terms import term_pattern
from harness.families import Corpus, PinnedConfig, pinned_rows
from harness.types import Passage, PassageRequest
from harness_corpora.choosing import choose_among, share


def parse(path: Path) -> Iterator[Row]:
    """Yield ``(id, paragraph, article)``: every line that is neither a heading nor blank.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    article = ""
    for index, line in enumerate(read_utf8(path).split("\n")):
        text = line.strip()
        if text.startswith("= ") and text.endswith(" ="):
            if not text.startswith("= ="):
                article = text.strip("= ")
        elif text:
            yield str(index), text, article


WIKITEXT2 = Pin(
    name="wikitext2-tokenised-valid",
    filename="wikitext-2-tokenised/wiki.valid.tokens",
    url="https://wikitext.smerity.com/wikitext-2-v1.zip",
    archive_member="wikitext-2/wiki.valid.tokens",
    sha256="f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
    items_sha256="4549252f3eb9cc2d4a75df9ef196bf100dcca824481821e0e4515c372e060d76",
    n_items=1841,
    parse=parse,
    licence="CC-BY-SA-3.0",
    citation="Merity et al. 2016, Pointer Sentinel Mixture Models",
    homepage="https://wikitext.smerity.com",
    defects="tokenised: holds <unk> and ` @-@ `; perplexity on it compares with nothing raw",
)


class WikiText2Config(PinnedConfig):
    """Which paragraphs are given."""

    min_words: Annotated[
        int, Field(ge=1, description="shortest paragraph, in words between spaces")
    ] = 20
    train_share: Annotated[
        float, Field(gt=0, lt=1, description="share of the articles that are train")
    ] = 0.8
    mentions: Annotated[
        Literal["keep", "leave out"],
        Field(
            description="paragraphs with a term of any known domain (woman, king, American): keep "
            "them, as CDA and the projections need some; leave out: plain text about no group"
        ),
    ] = "keep"


class WikiText2(Corpus[WikiText2Config]):
    """Paragraphs of the tokenised validation split; no article is in both train and test.

    The test split of WikiText-2 is left to perplexity: no method learns from what it measures.
    """

    name = "wikitext2"
    summary = "WikiText-2 validation paragraphs: plain text about no group (domain 'none')"
    reference = "Merity et al. 2016, https://arxiv.org/abs/1609.07843"
    domains: ClassVar[frozenset[str]] = frozenset({NO_DOMAIN})
    plain = True
    pins = (WIKITEXT2,)

    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        """Return plain paragraphs: domain ``none``, label ``non-hateful``.

        Raises:
            DataError: the data is missing or altered, or another domain or label is asked.
        """
        groups = term_pattern(
            term
            for of_domain in request.data.domains.values()
            for term in of_domain.attribute_terms()
        )
        leave_out = self.config.mentions == "leave out"
        passages = [
            Passage(
                id=f"wikitext2/{id_}",
                text=text,
                domain=NO_DOMAIN,
                label="non-hateful",
                split="train" if share(f"article {article}") < self.config.train_share else "test",
            )
            for id_, text, article in pinned_rows(WIKITEXT2, self.config, request.data)
            if len(text.split()) >= self.config.min_words
            and not (leave_out and groups.search(text))
        ]
        return choose_among(self.name, passages, request, domains=self.domains)
