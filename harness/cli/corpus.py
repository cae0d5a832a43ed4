"""``harness corpus``."""

from __future__ import annotations

import click

from harness.cli.output import echo_json
from harness.cli.session import Session, pass_session


@click.command("corpus")
@click.argument("corpus")
@click.option(
    "--domain",
    "-d",
    "domains",
    multiple=True,
    help="Domain to look at.  [default: all domains of the corpus]",
)
@click.option("--spec", help="Take CORPUS (a label in it) and its domains from a spec.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Config of the corpus.")
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Sample passages to print for each domain, label and split. They may be hateful.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the samples.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@pass_session
def corpus_command(
    session: Session,
    corpus: str,
    domains: tuple[str, ...],
    spec: str | None,
    settings: tuple[str, ...],
    show: int,
    seed: int,
    as_json: bool,
) -> None:
    """Show the passages of CORPUS by domain, and how clean they are as a source.

    You see the number of passages by domain, label and split, what placed them in the domain, the
    other domains that they mention, and near-duplicates across splits and labels. If annotators
    coded targets, you also see the precision and recall of the corpus's rule. Passages are printed
    only with --show.
    """
    from harness.data.domains import NO_DOMAIN, check_domain
    from harness.planning.corpus_survey import survey_corpus
    from harness.render.console.corpus import print_corpus
    from harness.running.mask_preview import Asked, Preview

    preview = Preview(session.registry, session.data, spec)
    use = preview.use("corpus", Asked(corpus, settings), corpus)
    for domain in domains:
        check_domain(domain, [*preview.data.domains, NO_DOMAIN])
    surveyed = survey_corpus(session.registry, preview.data, use, domains, show=show, seed=seed)
    if as_json:
        echo_json(surveyed.as_json())
    else:
        print_corpus(session.stdout, surveyed)
        session.suggest("mask", "--corpus", corpus, *(["--spec", spec] if spec else []))
