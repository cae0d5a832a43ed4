"""Canonical bias domains, the alias that each data set uses, and attribute terms per domain."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import SpecError, did_you_mean

NO_DOMAIN = "none"
"""The domain of texts and measurements that are about no group (plain text, perplexity)."""

DOMAINS: dict[str, str] = {
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


def check_domain(name: str, known: Iterable[str] = DOMAINS) -> str:
    """Return the name if it is a known domain.

    Raises:
        SpecError: it is not; says which is near.
    """
    names = list(known)
    if name not in names:
        raise SpecError(f"unknown domain '{name}'{did_you_mean(name, names)}")
    return name
