"""Canonical domains, the aliases of the data sets, and the attribute terms."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from harness.data.domains import (
    ALIASES,
    DOMAINS,
    attribute_terms,
    check_domain,
    domain_of,
    domains_of,
    groups_of,
    term_groups,
)
from harness.errors import DataError, SpecError

DATA = Path(__file__).parents[3] / "shared" / "data"
WITH_TERMS = [domain for domain in DOMAINS if domain != "profession"]


@pytest.mark.parametrize("domain", WITH_TERMS)
def test_terms_are_lower_case_stripped_and_unique(domain: str) -> None:
    terms = attribute_terms(domain)
    assert len(terms) > 10
    assert len(set(terms)) == len(terms)
    for term in terms:
        assert term == " ".join(term.lower().split())
        assert term


def test_terms_have_singular_plural_and_several_words() -> None:
    assert {"woman", "women", "single mothers"} <= set(attribute_terms("gender"))
    assert {"muslim", "muslims", "jew", "jews"} <= set(attribute_terms("religion"))
    assert "african americans" in attribute_terms("race")
    assert "asylum seekers" in attribute_terms("nationality")


def test_groups_of_terms_make_up_the_domain() -> None:
    groups = term_groups("gender")
    assert set(groups) == {"women", "men"}
    assert sorted(sum(groups.values(), ())) == sorted(attribute_terms("gender"))


def test_a_domain_without_terms_says_which_have_them() -> None:
    with pytest.raises(DataError, match=r"'profession' has no attribute terms .*gender, race"):
        attribute_terms("profession")


def test_every_alias_leads_to_known_domains_and_groups() -> None:
    for dataset, table in ALIASES.items():
        for places in table.values():
            for place in places:
                domain, _, group = place.partition("/")
                assert domain in DOMAINS, (dataset, place)
                assert not group or group in term_groups(domain), (dataset, place)


def test_every_alias_in_the_data_is_known() -> None:
    def column(path: str, name: str) -> set[str]:
        with (DATA / path).open(newline="", encoding="utf-8") as stream:
            return {row[name] for row in csv.DictReader(stream)}

    types = column("crows_pairs/crows_pairs_anonymized.csv", "bias_type")
    assert len({domain_of("crows-pairs", name) for name in types}) == len(types) == 9
    targets = column("hatecheck/test_suite_cases.csv", "target_ident") - {""}
    assert len({domain_of("hatecheck", name) for name in targets}) == len(targets) == 7
    stereoset = json.loads((DATA / "stereoset" / "dev.json").read_text(encoding="utf-8"))
    biases = {item["bias_type"] for item in stereoset["data"]["intrasentence"]}
    assert {domain_of("stereoset", name) for name in biases} == biases
    silent = {"", "none", "notgiven", "notargetrecorded"}
    for codes in column("dghs/dghs.csv", "target") - silent:
        domains_of("dghs", codes)
    for axis in (DATA / "redditbias").iterdir():
        assert domain_of("redditbias", axis.name)


def test_a_dghs_code_can_belong_to_several_domains() -> None:
    assert domains_of("dghs", "bla.wom") == ("race", "gender")
    assert groups_of("dghs", "bla.wom") == ("race/black people", "gender/women")
    assert domains_of("dghs", "bla, hispanic") == ("race",)
    assert domains_of("dghs", "wc, immig") == ("socioeconomic", "nationality")
    assert domains_of("dghs", "nazis") == ()
    assert domains_of("dghs", "lgbtq") == ("orientation", "gender-identity")


def test_errors_name_what_is_near() -> None:
    with pytest.raises(DataError, match="unknown domain alias 'race-colour'; did you mean 'race-c"):
        domain_of("crows-pairs", "race-colour")
    with pytest.raises(DataError, match="no domain aliases for data set 'crowspairs'; did you"):
        domain_of("crowspairs", "gender")
    with pytest.raises(DataError, match="not one domain but: race, gender"):
        domain_of("dghs", "bla.wom")
    with pytest.raises(SpecError, match="did you mean 'gender'"):
        check_domain("gendre")
