"""Entry point of the built-in corpora and domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.data.domains import Domain
from harness.families import Corpus
from harness.hookspecs import hookimpl
from harness_corpora.dghs import Dghs
from harness_corpora.domains import BUILT_IN
from harness_corpora.embedded import Embedded
from harness_corpora.file import File
from harness_corpora.hatecheck import HateCheck
from harness_corpora.redditbias import RedditBias
from harness_corpora.wikitext2 import WikiText2


@hookimpl
def harness_corpora() -> Sequence[type[Corpus[Any]]]:
    """Return the built-in corpora."""
    return [Dghs, HateCheck, RedditBias, File, Embedded, WikiText2]


@hookimpl
def harness_domains() -> Sequence[Domain]:
    """Return the built-in domains."""
    return list(BUILT_IN.values())
