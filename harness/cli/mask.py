"""``harness mask``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from harness.cli.output import echo_json
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.analysis.mask_summary import MaskSummary
    from harness.families import Family
    from harness.plugins import Registry
    from harness.types import MaskedPassage, MaskEstimate, Passage

LABELS = ("hateful", "non-hateful")
SPLITS = ("train", "test")


@click.command("mask")
@click.option("--corpus", help="Corpus (with --spec: a label in it).  [default: embedded]")
@click.option("--masker", help="Masker (with --spec: a label in it).  [default: wordlist]")
@click.option("--domain", "-d", help="Domain of the passages.  [default: gender]")
@click.option("--spec", help="Take corpus, masker, domain and label from a spec.")
@click.option("--label", type=click.Choice(LABELS), help="[default: hateful]")
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True)
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Passages to mask."
)
@click.option("--show", type=click.IntRange(min=0), help="Passages to print.  [default: all]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Config of the masker.")
@click.option(
    "--corpus-set",
    "corpus_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Config of the corpus.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before a service is called.")
@click.option("--json", "as_json", is_flag=True, help="Print passages, spans and summary as JSON.")
@pass_session
def mask_command(
    session: Session,
    corpus: str | None,
    masker: str | None,
    domain: str | None,
    spec: str | None,
    label: str | None,
    split: str,
    limit: int,
    show: int | None,
    seed: int,
    settings: tuple[str, ...],
    corpus_settings: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Show passages with their masked words highlighted, and what the masks amount to.

    So a mask rule can be judged before a run is paid for. What a service would cost is told
    first; it is called after a yes.
    """
    from harness.analysis.mask_summary import summarise
    from harness.data.domains import check_domain
    from harness.errors import DataError

    texts = _Use(session.registry, "corpus", corpus, "embedded", corpus_settings)
    rule = _Use(session.registry, "masker", masker, "wordlist", settings)
    if spec is not None:
        source, spec_label = _from_spec(session.registry, spec, texts, rule)
        domain, label = domain or source, label or spec_label
    domain = check_domain(domain or "gender", session.data.domains)
    passages = _passages(session, texts, domain, label or LABELS[0], split, limit, seed)
    if not passages:
        raise DataError(
            f"corpus '{texts.name}' has no {label or LABELS[0]} passage of '{domain}' in its "
            f"{split} split; choose another --corpus, --domain, --label or --split"
        )
    answers = _masked(session, rule, passages, domain, seed, yes)
    summary = summarise(answers)
    shown = answers if show is None else answers[:show]
    if as_json:
        echo_json(_as_json(rule, domain, shown, summary))
        return
    from harness.render.console.masks import print_masked, print_summary

    print_masked(session.stdout, shown)
    print_summary(session.stdout, summary)


class _Use:
    """A plugin by name, and its config from a spec and from options."""

    def __init__(
        self,
        registry: Registry,
        family: Family,
        name: str | None,
        default: str,
        settings: tuple[str, ...],
    ) -> None:
        self.registry = registry
        self.family: Family = family
        self.asked = name
        self.name = name or default
        self.option = "--set" if family == "masker" else "--corpus-set"
        self._settings = settings
        self._config: Mapping[str, Any] = {}

    def take(self, use: str, config: Mapping[str, Any]) -> None:
        """Be what a spec names."""
        self.name, self._config = use, config

    def create(self) -> Any:
        """Construct the plugin.

        Raises:
            PluginError: there is none of that name.
            SpecError: an option does not fit its config.
        """
        from pydantic import ValidationError

        from harness.errors import SpecError
        from harness.plugins import config_problem

        entry = self.registry.get(self.family, self.name)
        config = _with_settings(self._config, self._settings, self.option)
        try:
            return self.registry.create(self.family, self.name, config)
        except ValidationError as error:
            _, message = config_problem(error, entry.plugin.Config.model_fields)
            raise SpecError(f"{self.option}: {self.family} '{self.name}': {message}") from None


def _with_settings(
    config: Mapping[str, Any], settings: tuple[str, ...], option: str
) -> dict[str, Any]:
    """Set dotted ``key=value`` pairs, each value being YAML."""
    from harness.errors import SpecError
    from harness.planning.yaml_lines import parse_yaml

    found: dict[str, Any] = dict(config)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise SpecError(f"{option} {setting}: must be key=value")
        *parents, last = key.strip().split(".")
        here = found
        for parent in parents:
            below = here.get(parent)
            here[parent] = dict(below) if isinstance(below, dict) else {}
            here = here[parent]
        here[last], _ = parse_yaml(text, f"{option} {key}")
    return found


def _from_spec(
    registry: Registry, path: str, texts: _Use, rule: _Use
) -> tuple[str | None, str | None]:
    """Let a spec name corpus and masker; return its first source domain and label."""
    from harness.errors import SpecError, did_you_mean
    from harness.planning.spec_reader import load_spec

    spec = load_spec(path, registry)
    for use, entries in ((texts, spec.corpus), (rule, spec.masker)):
        labels = [entry.label for entry in entries]
        if not labels and use.asked is None:
            raise SpecError(f"{path}: names no {use.family}; give --{use.family}")
        wanted = use.asked or labels[0]
        if wanted in labels:
            entry = entries[labels.index(wanted)]
            use.take(entry.use, entry.config)
        elif wanted not in registry.names(use.family):
            raise SpecError(f"{path}: no {use.family} '{wanted}'{did_you_mean(wanted, labels)}")
    return next(iter(spec.source), None), next(iter(spec.label), None)


def _passages(
    session: Session, use: _Use, domain: str, label: str, split: str, limit: int, seed: int
) -> tuple[Passage, ...]:
    from harness.boundary import read_passages
    from harness.types import PassageRequest

    request = PassageRequest.model_validate(
        {
            "domain": domain,
            "label": label,
            "split": split,
            "limit": limit,
            "seed": seed,
            "data": session.data,
        }
    )
    corpus = use.create()
    return read_passages(session.registry.get("corpus", use.name), corpus, request)


def _masked(
    session: Session, use: _Use, passages: tuple[Passage, ...], domain: str, seed: int, yes: bool
) -> tuple[MaskedPassage, ...]:
    from harness.boundary import mask_passages
    from harness.types import MaskRequest

    masker = use.create()
    with _progress(session) as progress:
        request = MaskRequest(
            passages=passages, domain=domain, seed=seed, data=session.data, progress=progress
        )
        estimate = masker.estimate(request)
        if estimate.calls:
            _ask(session, use.name, estimate, yes)
        return mask_passages(session.registry.get("masker", use.name), masker, request)


def _ask(session: Session, name: str, estimate: MaskEstimate, yes: bool) -> None:
    """Tell what a service would cost, and go on only after a yes."""
    from harness.errors import SpecError

    cost = "price unknown" if estimate.cost is None else f"about ${estimate.cost:.4f}"
    session.stderr.print(
        f"masker {name}: {estimate.calls} calls, about {estimate.tokens_in} tokens in and "
        f"{estimate.tokens_out} out, {cost}",
        soft_wrap=True,
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise SpecError(f"masker '{name}' would call a service; give --yes to let it")
    click.confirm("go on?", abort=True, err=True)


@contextmanager
def _progress(session: Session) -> Iterator[Callable[[int, int, str], None]]:
    """A line on a terminal that says how far the masker is."""
    from harness.render.safe_text import one_line
    from harness.types import no_progress

    if not session.stderr.is_terminal:
        yield no_progress
        return
    last = [""]

    def tell(done: int, total: int, what: str) -> None:
        line = f"{one_line(what)}: {done} of {total}"
        click.echo(f"\r{line:<{len(last[0])}}", nl=False, err=True)
        last[0] = line

    try:
        yield tell
    finally:
        click.echo(f"\r{'':<{len(last[0])}}\r", nl=False, err=True)


def _as_json(
    use: _Use, domain: str, shown: tuple[MaskedPassage, ...], summary: MaskSummary
) -> dict[str, Any]:
    return {
        "masker": use.name,
        "domain": domain,
        "passages": [answer.model_dump(mode="json") for answer in shown],
        "summary": summary.model_dump(mode="json"),
    }
