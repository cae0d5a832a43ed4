"""``harness mask``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from harness.cli.output import echo, echo_json
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.lm.association import Gaps
    from harness.running.mask_preview import Asked
    from harness.types import Label, MaskedPassage, MaskEstimate, MaskUsage, Split

LABELS = ("hateful", "non-hateful")
SPLITS = ("train", "test")
Answers = Mapping[str, "Sequence[MaskedPassage]"]


@click.command("mask")
@click.argument("maskers", nargs=-1)
@click.option("--compare", is_flag=True, help="Show how far MASKERS agree on the same passages.")
@click.option("--corpus", help="Corpus (with --spec: a label in it).  [default: embedded]")
@click.option("--masker", help="Masker (with --spec: a label in it).  [default: wordlist]")
@click.option("--domain", "-d", help="Domain of the passages.  [default: gender]")
@click.option("--spec", help="Take corpus, maskers, domain and label from a spec.")
@click.option("--label", type=click.Choice(LABELS), help="[default: hateful]")
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Passages to mask.  [default: 10; with --compare: 200]",
)
@click.option(
    "--show",
    type=click.IntRange(min=0),
    help="Passages to print; with --compare, only those on which maskers differ.  [default: all; "
    "with --compare: none]",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Config of the masker.")
@click.option(
    "--corpus-set",
    "corpus_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Config of the corpus.",
)
@click.option("--yes", "-y", is_flag=True, help="Use a service without asking first.")
@click.option(
    "--gap",
    is_flag=True,
    help="Also show how much the words after each mask tell a base model about the masked word.",
)
@click.option(
    "--model", help="Model for --gap (with --spec: a label in it).  [default: the spec's]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="With --compare: print the table as CSV.")
@pass_session
def mask_command(
    session: Session,
    maskers: tuple[str, ...],
    compare: bool,
    corpus: str | None,
    masker: str | None,
    domain: str | None,
    spec: str | None,
    label: Label | None,
    split: Split,
    limit: int | None,
    show: int | None,
    seed: int,
    settings: tuple[str, ...],
    corpus_settings: tuple[str, ...],
    yes: bool,
    gap: bool,
    model: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Preview the masked words of some passages, before you pay for a run.

    A masker that uses a service shows the estimated cost and asks you first. Afterwards it shows
    what you spent.

    With --compare, give two or more MASKERS, each a name and maybe settings, in quotes:

        harness mask --compare wordlist "wordlist rules=harm" random

    With --spec, they are labels of the spec, and the default is all of its maskers.

    With --gap, a causal base model scores each masked word among other group words: given the
    words before it, and given the words on both sides. The loss of the paper does not use this
    difference; see docs/after-mask.md.
    """
    from harness.errors import SpecError
    from harness.running.mask_preview import Asked, Preview, Watch

    if gap and compare:
        raise SpecError("--gap does not go with --compare; use it with a single --masker")
    if model is not None and not gap:
        raise SpecError("--model needs --gap")
    preview = Preview(session.registry, session.data, spec)
    asked = _asked(maskers, compare, masker, settings, preview.labels("masker"), as_csv)
    domain = preview.domain(domain)
    label = preview.label(label)
    uses = [preview.use("masker", one, "wordlist") for one in asked]
    source = preview.use("corpus", Asked(corpus, corpus_settings, "--corpus-set"), "embedded")
    count = limit or (200 if compare else 10)
    passages = preview.passages(source, domain, label, split, count, seed)
    used: dict[str, MaskUsage] = {}

    def account(name: str, usage: MaskUsage) -> None:
        used[name] = usage
        _print_usage(name, usage)

    answers = {}
    for use in uses:
        with _progress(session) as progress:
            watch = Watch(lambda name, cost: _confirm(name, cost, yes), account, progress)
            answers[use.label] = preview.masks(use, passages, domain, seed, watch)
    if compare:
        _compare(session, domain, answers, used, show or 0, as_json, as_csv)
    else:
        ((name, masked),) = answers.items()
        gaps = None
        if gap:
            model_use = preview.use("model", Asked(model, (), "--model"), "smollm2-135m")
            gaps = preview.gaps(model_use, masked[:show], domain)
        _show(session, uses[0].use, domain, masked, used.get(name), show, as_json, gaps)


def _asked(
    maskers: Sequence[str],
    compare: bool,
    masker: str | None,
    settings: Sequence[str],
    in_spec: Sequence[str],
    as_csv: bool,
) -> list[Asked]:
    """The maskers that the command line names.

    Raises:
        SpecError: too few, too many, or the same one twice.
    """
    from harness.errors import SpecError
    from harness.running.mask_preview import Asked

    if not compare:
        if maskers or as_csv:
            given = f"'{maskers[0]}'" if maskers else "--csv"
            raise SpecError(f"{given} needs --compare; name a single masker with --masker")
        return [Asked(masker, settings)]
    if masker is not None or settings:
        raise SpecError(
            "--masker and --set do not go with --compare; write settings after a masker's name, "
            'in quotes: "wordlist rules=harm"'
        )
    if len(set(maskers)) < len(maskers):
        raise SpecError("--compare: a masker is named twice")
    asked = []
    for written in maskers or in_spec:
        try:
            name, *pairs = [written] if written in in_spec else shlex.split(written)
        except ValueError as error:
            raise SpecError(f"--compare {written}: {error}") from None
        asked.append(Asked(name, pairs, f"--compare {name}:", written))
    if len(asked) < 2:
        raise SpecError("--compare needs two maskers or more")
    return asked


def _confirm(name: str, estimate: MaskEstimate, yes: bool) -> None:
    """Show what a service would cost, and go on only after a yes."""
    from harness.errors import SpecError

    cost = "price unknown" if estimate.cost is None else f"about ${estimate.cost:.4f}"
    line = f"{estimate.calls} calls, about {estimate.tokens_in} tokens in and "
    echo(f"masker {name}: {line}{estimate.tokens_out} out, {cost}", err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise SpecError(f"masker '{name}' would use a service; give --yes to allow it")
    click.confirm("Continue?", abort=True, err=True)


def _print_usage(name: str, usage: MaskUsage) -> None:
    from harness.running.spending import usage_in_words

    echo(f"masker {name}: {usage_in_words(usage)}", err=True)


def _show(
    session: Session,
    masker: str,
    domain: str,
    answers: Sequence[MaskedPassage],
    usage: MaskUsage | None,
    show: int | None,
    as_json: bool,
    gaps: Gaps | None,
) -> None:
    from harness.analysis.mask_summary import summarise
    from harness.render.console.masks import gap_rows, print_gaps, print_masked, print_summary

    summary = summarise(answers)
    shown = answers if show is None else answers[:show]
    if as_json:
        echo_json(
            {
                "masker": masker,
                "domain": domain,
                "passages": [answer.model_dump(mode="json") for answer in shown],
                "summary": summary.model_dump(mode="json"),
                "usage": None if usage is None else usage.model_dump(mode="json"),
                **({} if gaps is None else {"gaps": gap_rows(shown, gaps)}),
            }
        )
        return
    print_masked(session.stdout, shown)
    if gaps is not None:
        print_gaps(session.stdout, shown, gaps)
    print_summary(session.stdout, summary)
    session.suggest("mask", "--compare", masker, "random" if masker != "random" else "wordlist")


def _compare(
    session: Session,
    domain: str,
    answers: Answers,
    used: Mapping[str, MaskUsage],
    show: int,
    as_json: bool,
    as_csv: bool,
) -> None:
    from harness.analysis.mask_agreement import agreements, differing
    from harness.analysis.mask_summary import summarise
    from harness.render.console.masks import (
        agreement_csv,
        agreement_row,
        print_agreement,
        print_differing,
    )

    pairs = agreements(answers)
    if as_csv:
        click.echo(agreement_csv(pairs), nl=False)
        return
    examples = {(p.first, p.second): differing(answers[p.first], answers[p.second]) for p in pairs}
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                **agreement_row(pair),
                "examples": [
                    {"first": a.model_dump(mode="json"), "second": b.model_dump(mode="json")}
                    for a, b in examples[pair.first, pair.second][:show]
                ],
            }
            for pair in pairs
        ]
        maskers = {
            name: {
                "summary": summarise(masked).model_dump(mode="json"),
                "usage": used[name].model_dump(mode="json") if name in used else None,
            }
            for name, masked in answers.items()
        }
        echo_json({"domain": domain, "maskers": maskers, "pairs": rows})
        return
    print_agreement(session.stdout, answers, pairs)
    for (first, second), differ in examples.items():
        print_differing(session.stdout, first, second, differ[:show])


@contextmanager
def _progress(session: Session) -> Iterator[Callable[[int, int, str], None]]:
    """A line on a terminal that says how far the masker is."""
    from harness.types import no_progress

    if not session.stderr.is_terminal:
        yield no_progress
        return
    last = [""]

    def tell(done: int, total: int, what: str) -> None:
        line = f"{what}: {done} of {total}"
        click.echo(f"\r{line:<{len(last[0])}}", nl=False, err=True)
        last[0] = line

    try:
        yield tell
    finally:
        click.echo(f"\r{'':<{len(last[0])}}\r", nl=False, err=True)
