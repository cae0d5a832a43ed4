"""The built-in domains, provided through the same hook as a third-party package's."""

from __future__ import annotations

from collections.abc import Mapping

from harness.data.domains import Domain, Domains
from harness_corpora.terms import TERMS

_DESCRIPTIONS: Mapping[str, str] = {
    "gender": "women, men, and gender identity as the data set draws it",
    "race": "race, colour and ethnicity",
    "religion": "religious groups",
    "orientation": "sexual orientation",
    "gender-identity": "trans and non-binary people, where a data set keeps them apart",
    "disability": "physical and mental disability",
    "age": "old and young people",
    "nationality": "nationality, immigrants and refugees",
    "appearance": "physical appearance",
    "socioeconomic": "class, income, occupation status",
    "profession": "occupations (StereoSet's fourth domain)",
}

IN_GROUPS: Mapping[str, tuple[str, ...]] = {"gender": ("men",)}
"""In hateful text a mention of men says little about the target, but white people and Christians
are mostly named together with the group that is attacked: leaving them out gains no precision."""

EVERYDAY = frozenset({"age", "appearance", "socioeconomic"})

BUILT_IN = Domains(
    Domain(
        name=name,
        description=description,
        terms=TERMS.get(name, {}),
        in_groups=IN_GROUPS.get(name, ()),
        everyday=name in EVERYDAY,
    )
    for name, description in _DESCRIPTIONS.items()
)
"""The domains of the built-in data sets, with this project's term lists where there are any."""
