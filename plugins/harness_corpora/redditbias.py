"""``redditbias``: biased phrases from Reddit about five groups (Barikeri et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from harness.data.aliases import Aliases
from harness.data.pins import Pin, PinnedFile, Row
from harness.data.tabular import read_csv, require_text
from harness.families import Corpus, PinnedConfig, pinned_rows
from harness.types import Passage, PassageRequest
from harness_corpora.choosing import choose_among

TARGETS = {
    "gender": "female",
    "orientation": "lgbtq",
    "race": "black",
    "religion1": "jews",
    "religion2": "muslims",
}
"""The group of each axis that the collected phrases are about."""

AXES = Aliases(
    "redditbias",
    {
        "gender": "gender/women",
        "race": "race/black people",
        "religion1": "religion/jews",
        "religion2": "religion/muslims",
        "orientation": "orientation/gay people",
    },
)
"""The place of each axis."""

_SHA256 = {
    ("gender", "valid"): "9566e18a500a9f325cb7a61843329987cf75750fe56c2a5629019da4bb0094f3",
    ("gender", "test"): "6f879a2bd92adeb61a8865c273f4724a989a0046ff74a59b8731af53a18303e6",
    ("orientation", "valid"): "1919138a6b53692cd3ba1da6914f0567a2670e16b069e0117186da434b2dee1e",
    ("orientation", "test"): "2664ac0a26b65bde99c12db737f729823bf6e4fcd1c7bd22eb8da9e8960556d5",
    ("race", "valid"): "0e1ed01258a13dad1de1f8a5574cae932407ce10ee36efc034d2096c741920ce",
    ("race", "test"): "08d26f74e4ef42be999bafb5770f63fc239cb767611eb93aa713ad8eb93875a0",
    ("religion1", "valid"): "cd384b4b03d8a3f94c291c6f9e6eb1b62f9ffa4f88ec7a96f2587403a09ad90d",
    ("religion1", "test"): "4d615949b94cf3babdc9164e08132b885dfd93e6c128e0a5a582934d22b3ad36",
    ("religion2", "valid"): "efb10aabe569dad0a82db7f79739496fce6bc5ac9d63c8e05a79612dfa39a22c",
    ("religion2", "test"): "0a924d4ca7069f7db9e937440e7d8f15e43563f5c83bd1506680d252abfa33f6",
}
_ADDRESS = (
    "https://raw.githubusercontent.com/umanlp/RedditBias/"
    "61f9ae9458e26a64ae1113425192280503f8fb92/data/"
)


def _filename(axis: str, part: str) -> str:
    return f"{axis}/reddit_comments_{axis}_{TARGETS[axis]}_biased_{part}_reduced.csv"


def parse(folder: Path) -> Iterator[Row]:
    """Yield ``(id, phrase, axis, target, part)`` of every file, in the order of the pin.

    Raises:
        DataError: wrong columns, an empty text.
    """
    for axis, part in _SHA256:
        path = folder / _filename(axis, part)
        for index, (line, values) in enumerate(read_csv(path, ("comments_processed",))):
            text = require_text(path, line, values["comments_processed"])
            yield f"{axis}-{part}-{index}", text, axis, TARGETS[axis], part


REDDITBIAS = Pin(
    name="redditbias",
    filename="redditbias",
    url="https://github.com/umanlp/RedditBias/tree/61f9ae9458e26a64ae1113425192280503f8fb92/data",
    sha256=None,
    items_sha256="45c256ec798b5d26be99269dd1ccbfa46a6814a6c74a5429c49fc5a7b5d129d5",
    n_items=2428,
    parse=parse,
    licence="MIT",
    citation="Barikeri et al. 2021, RedditBias, ACL",
    homepage="https://github.com/umanlp/RedditBias",
    defects=(
        "phrases are cut at a window of words; some rows of the test and valid files repeat a "
        "comment; annotators called some phrases biased whose sentence they did not"
    ),
    files=tuple(
        PinnedFile(_filename(axis, part), _ADDRESS + _filename(axis, part), sha256)
        for (axis, part), sha256 in _SHA256.items()
    ),
)


class RedditBiasConfig(PinnedConfig):
    """Where the folder is."""


class RedditBias(Corpus[RedditBiasConfig]):
    """Biased phrases; the ``valid`` files are train, the ``test`` files test.

    It has no non-hateful passages: the counterfactual files swap the group in the same phrases.
    ``Passage.group`` is the axis and the group, such as ``religion2/muslims``.
    """

    name = "redditbias"
    summary = "RedditBias: biased phrases about women, Black, Jewish, Muslim and LGBTQ people"
    reference = "Barikeri et al. 2021, https://aclanthology.org/2021.acl-long.151"
    domains: ClassVar[frozenset[str]] = AXES.all_domains()
    pins = (REDDITBIAS,)

    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        """Return the passages of a domain, split and label, in the order of the files.

        Raises:
            DataError: the data is missing, altered or malformed, or holds no such passage.
        """
        passages = [
            Passage(
                id=f"redditbias/{id_}",
                text=text,
                domain=AXES.domain(axis),
                group=f"{axis}/{target}",
                label="hateful",
                split="train" if part == "valid" else "test",
            )
            for id_, text, axis, target, part in pinned_rows(REDDITBIAS, self.config, request.data)
        ]
        return choose_among(self.name, passages, request, domains=self.domains)
