"""``hatecheck``: functional tests for hate speech classifiers (Röttger et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from harness.data.aliases import Aliases
from harness.data.pins import Pin, Row
from harness.data.tabular import read_csv, require_text
from harness.errors import DataError
from harness.families import Corpus, PinnedConfig, pinned_rows
from harness.types import Label, Passage, PassageRequest
from harness_corpora.choosing import choose_among, share

TARGETS = Aliases(
    "hatecheck",
    {
        "women": "gender/women",
        "trans people": "gender-identity/trans people",
        "gay people": "orientation/gay people",
        "black people": "race/black people",
        "disabled people": "disability/disabled people",
        "Muslims": "religion/muslims",
        "immigrants": "nationality/immigrants",
    },
)
"""The place of each target group."""

LABELS: Mapping[str, Label] = {"hateful": "hateful", "non-hateful": "non-hateful"}


def parse(path: Path) -> Iterator[Row]:
    """Yield ``(id, text, label, target, template, parent template)``.

    Raises:
        DataError: wrong columns, an unknown label or target, an empty text.
    """
    required = ("case_id", "test_case", "label_gold", "target_ident", "templ_id", "ref_templ_id")
    for line, values in read_csv(path, required):
        if values["label_gold"] not in LABELS:
            raise DataError(f"{path}: line {line}: unknown label {values['label_gold']!r}")
        if values["target_ident"]:
            TARGETS.domain(values["target_ident"], f"{path}: line {line}")
        require_text(path, line, values["test_case"])
        yield tuple(values[name] for name in required)


HATECHECK = Pin(
    name="hatecheck",
    filename="hatecheck/test_suite_cases.csv",
    url=(
        "https://raw.githubusercontent.com/paul-rottger/hatecheck-data/"
        "d84302298ceeb34f4b0dde2d8a1f4932c2caa612/test_suite_cases.csv"
    ),
    sha256="ecf0dc1e93fccc90b6f880e632b19e635c0f0a68b3157915a9e20b6938f121cf",
    items_sha256="68706831d3ef588daa5f666ef83e74074131635c1ca1d3ed0f03aa80e7769d9b",
    n_items=3728,
    parse=parse,
    licence="CC-BY-4.0",
    citation="Röttger et al. 2021, HateCheck, ACL",
    homepage="https://github.com/paul-rottger/hatecheck-data",
    defects="template-made: cases of one template differ in the group alone",
)


class HateCheckConfig(PinnedConfig):
    """How the cases are split."""

    train_share: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="share of the templates that are train; the data set has no split of its "
            "own, so a hash of the template decides, and all that is derived from a template "
            "(its groups, its perturbations) stays together",
        ),
    ] = 0.5


class HateCheck(Corpus[HateCheckConfig]):
    """Short test cases by target group; ``Passage.group`` is the data set's target."""

    name = "hatecheck"
    summary = "HateCheck: hateful and contrasting non-hateful test cases for seven groups"
    reference = "Röttger et al. 2021, https://aclanthology.org/2021.acl-long.4"
    domains: ClassVar[frozenset[str]] = TARGETS.all_domains()
    pins = (HATECHECK,)

    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        """Return the passages of a domain, split and label, in the order of the file.

        Raises:
            DataError: the data is missing, altered or malformed, or holds no such passage.
        """
        rows = pinned_rows(HATECHECK, self.config, request.data)
        parent = {template: above for *_, template, above in rows if above}
        passages = [
            Passage(
                id=f"hatecheck/{id_}",
                text=text,
                domain=TARGETS.domain(target),
                group=target,
                label=LABELS[label],
                split="train"
                if share(_root(template, parent)) < self.config.train_share
                else "test",
            )
            for id_, text, label, target, template, _ in rows
            if target
        ]
        return choose_among(self.name, passages, request, domains=self.domains)


def _root(template: str, parent: Mapping[str, str]) -> str:
    """The template that a template is derived from, through all perturbations."""
    seen = {template}
    while (above := parent.get(template)) is not None and above not in seen:
        seen.add(above)
        template = above
    return f"hatecheck template {template}"
