"""Domains and their term lists, the aliases of the data sets, and the section of a spec."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from harness_corpora import dghs, hatecheck, redditbias
from harness_corpora.domains import BUILT_IN
from harness_evaluators import crows_pairs
from pydantic import ValidationError

from harness.data.aliases import Aliases
from harness.data.domains import Counterparts, Domain, Domains, check_domain
from harness.errors import DataError, PluginError, SpecError
from harness.hookspecs import hookimpl
from harness.planning.spec_domains import read_domains
from harness.planning.yaml_lines import Lines, parse_yaml
from harness.plugins import Origin, build_registry, load_registry

DATA = Path(__file__).parents[3] / "shared" / "data"
WITH_TERMS = [domain for domain in BUILT_IN if BUILT_IN[domain].terms]
TABLES = (dghs.CODES, hatecheck.TARGETS, redditbias.AXES, crows_pairs.TYPES)


def test_the_built_in_domains_come_through_the_hook() -> None:
    registry = load_registry(strict=True)
    assert [registry.domains[name] for name in BUILT_IN] == list(BUILT_IN.values())
    assert set(BUILT_IN) - set(WITH_TERMS) == {"profession"}


@pytest.mark.parametrize("domain", WITH_TERMS)
def test_terms_are_lower_case_stripped_and_unique(domain: str) -> None:
    terms = BUILT_IN.attribute_terms(domain)
    assert len(terms) > 10
    assert len(set(terms)) == len(terms)
    for term in terms:
        assert term == " ".join(term.lower().split())
        assert term


def test_terms_have_singular_plural_and_several_words() -> None:
    assert {"woman", "women", "single mothers"} <= set(BUILT_IN.attribute_terms("gender"))
    assert {"muslim", "muslims", "jew", "jews"} <= set(BUILT_IN.attribute_terms("religion"))
    assert "african americans" in BUILT_IN.attribute_terms("race")
    assert "asylum seekers" in BUILT_IN.attribute_terms("nationality")


def test_groups_of_terms_make_up_the_domain() -> None:
    groups = BUILT_IN.term_groups("gender")
    assert set(groups) == {"women", "men"}
    assert sorted(sum(groups.values(), ())) == sorted(BUILT_IN.attribute_terms("gender"))


def test_a_domain_without_terms_says_which_have_them() -> None:
    for name in ("profession", "caste"):
        with pytest.raises(DataError, match=rf"'{name}' has no attribute terms .*gender, race"):
            BUILT_IN.attribute_terms(name)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.dataset)
def test_every_alias_leads_to_known_domains_and_groups(table: Aliases) -> None:
    for places in table.values():
        for place in places:
            domain, _, group = place.partition("/")
            assert domain in BUILT_IN, place
            assert not group or group in BUILT_IN.term_groups(domain), place


def test_every_alias_in_the_data_is_known() -> None:
    def column(path: str, name: str) -> set[str]:
        with (DATA / path).open(newline="", encoding="utf-8") as stream:
            return {row[name] for row in csv.DictReader(stream)}

    types = column("crows_pairs/crows_pairs_anonymized.csv", "bias_type")
    assert len({crows_pairs.TYPES.domain(name) for name in types}) == len(types) == 9
    targets = column("hatecheck/test_suite_cases.csv", "target_ident") - {""}
    assert len({hatecheck.TARGETS.domain(name) for name in targets}) == len(targets) == 7
    stereoset = json.loads((DATA / "stereoset" / "dev.json").read_text(encoding="utf-8"))
    assert {item["bias_type"] for item in stereoset["data"]["intrasentence"]} <= set(BUILT_IN)
    silent = {"", "none", "notgiven", "notargetrecorded"}
    for codes in column("dghs/dghs.csv", "target") - silent:
        dghs.CODES.domains(codes)
    for axis in (DATA / "redditbias").iterdir():
        assert redditbias.AXES.domain(axis.name)


def test_a_dghs_code_can_belong_to_several_domains() -> None:
    codes = dghs.CODES
    assert codes.domains("bla.wom") == ("race", "gender")
    assert codes.places("bla.wom") == ("race/black people", "gender/women")
    assert codes.domains("bla, hispanic") == ("race",)
    assert codes.domains("wc, immig") == ("socioeconomic", "nationality")
    assert codes.domains("nazis") == ()
    assert codes.domains("lgbtq") == ("orientation", "gender-identity")


def test_errors_name_what_is_near() -> None:
    with pytest.raises(DataError, match="unknown domain alias 'race-colour'; did you mean 'race-c"):
        crows_pairs.TYPES.domain("race-colour")
    with pytest.raises(DataError, match="not one domain but: race, gender"):
        dghs.CODES.domain("bla.wom")
    with pytest.raises(SpecError, match=r"did you mean 'gender'.* section 'domains'"):
        check_domain("gendre", BUILT_IN)


# -- domains of plugins ----------------------------------------------------------------------


class Offers:
    """A package that describes one domain."""

    def __init__(self, *domains: object) -> None:
        self._domains = list(domains)

    @hookimpl
    def harness_domains(self) -> list[object]:
        return self._domains


CASTE = Domain(name="caste", description="castes", terms={"dalits": ("Dalit", " dalit  people ")})


def test_a_package_adds_a_domain() -> None:
    registry = build_registry([(Offers(CASTE), Origin("one", "one", "1"))], strict=True)
    assert registry.domains.attribute_terms("caste") == ("dalit", "dalit people")


def test_two_packages_may_agree_on_a_domain_and_must_not_differ() -> None:
    other = CASTE.model_copy(update={"description": "other"})
    one, two = Origin("one", "one", "1"), Origin("two", "two", "2")
    assert build_registry([(Offers(CASTE), one), (Offers(CASTE), two)], strict=True)
    with pytest.raises(PluginError, match=r"'caste' differently: entry point 'one'.*'two'"):
        build_registry([(Offers(CASTE), one), (Offers(other), two)])


@pytest.mark.parametrize("answer", ["caste", 3])
def test_a_hook_that_returns_something_else_costs_that_plugin(answer: object) -> None:
    registry = build_registry([(Offers(answer), Origin("one", "one", "1"))])
    assert "not a Domain" in registry.failures[0].reason
    assert not registry.domains


@pytest.mark.parametrize("name", ["", "none", "overall", "a b", "a/b", "../x", "-x", "a\n"])
def test_names_that_no_domain_can_have(name: str) -> None:
    with pytest.raises(ValidationError):
        Domain(name=name)


def test_lists_are_known_by_their_words() -> None:
    more = Domain(name="caste", terms={"dalits": ("dalit", "dalit people", "dalits")})
    assert CASTE.terms_digest() != more.terms_digest()
    assert Domains([CASTE]).terms_digest() == (Domains([CASTE]) | [CASTE]).terms_digest()
    assert (BUILT_IN | [CASTE]).only("caste", "none").terms_digest() == Domains(
        [CASTE]
    ).terms_digest()


# -- the section of a spec -------------------------------------------------------------------


def read(text: str, folder: Path) -> tuple[Domain, ...]:
    value, lines = parse_yaml(text, "spec.yaml")
    return read_domains(value["domains"], lines, folder)


def test_a_domain_from_files(tmp_path: Path) -> None:
    (tmp_path / "dalits.txt").write_text("# a comment\nDalit\n\ndalits\n", encoding="utf-8")
    (tmp_path / "rows.csv").write_text("dalits,brahmins\nDalit,Brahmin\n", encoding="utf-8")
    (domain,) = read(
        "domains:\n  caste:\n    description: castes\n"
        "    terms: {dalits: dalits.txt, brahmins: [brahmin]}\n    counterparts: rows.csv\n",
        tmp_path,
    )
    assert domain.terms == {"dalits": ("dalit", "dalits"), "brahmins": ("brahmin",)}
    assert domain.counterparts == Counterparts(
        roles=("dalits", "brahmins"), rows=(("dalit", "brahmin"),)
    )
    assert Domain.model_validate(domain.model_dump(mode="json")) == domain


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("caste", "spec.yaml:1: give a mapping"),
        ("{caste: dalit}", "spec.yaml:1: domain 'caste': give description"),
        ("{caste: {term: [a]}}", "unknown key 'term'; did you mean 'terms'"),
        ("{caste: {terms: {dalits: none.txt}}}", r"none\.txt: .*No such file"),
        ("{caste: {terms: {dalits: []}}}", "give a list of words"),
        ("{caste: {terms: {dalits: [1]}}}", "give a list of words"),
        ("{caste: {terms: {dalits: ['']}}}", "no term, or an empty one"),
        ("{caste: {description: [a]}}", "the description must be a text"),
        ("{caste: {counterparts: [[a, b], [c]]}}", "as many words in each row"),
        ("{none: {}}", "'none' has a meaning of its own"),
        ("{'a b': {}}", "is not a name"),
    ],
)
def test_mistakes_in_the_section_name_the_line(section: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        read(f"domains: {section}\n", tmp_path)
    assert str(caught.value).startswith("spec.yaml:1: ")
    assert "\n" not in str(caught.value)


def test_lines_are_not_needed_for_data_from_python() -> None:
    assert read_domains((CASTE,), Lines("spec")) == (CASTE,)
