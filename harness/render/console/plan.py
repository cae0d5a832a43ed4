"""What `harness plan` shows."""

from __future__ import annotations

from datetime import timedelta
from textwrap import wrap

from rich.text import Text

from harness.planning.plan import Plan
from harness.planning.survey import Survey
from harness.render.console.ruled import ruled
from harness.render.console.terminal import Terminal


def print_survey(console: Terminal, plan: Plan, survey: Survey) -> None:
    """Print the cells, the work, the passages, the cost, the data and the problems."""
    spec = plan.spec
    axes = {**spec.axes(), "steps": spec.steps, "targets": spec.targets}
    console.alert(spec.name, spec.description, "bold", width=console.width)
    for name, values in axes.items():
        if values:
            listed = wrap(", ".join(map(str, values)), max(20, console.width - 13))
            console.print(f"  {name:<10} " + f"\n{'':13}".join(listed))
    console.print(
        f"  {survey.fits} debiased models ({survey.fits_there} complete), "
        f"{len(plan.tasks())} measurements",
    )
    _print_work(console, survey)
    _print_time(console, survey)
    _print_sources(console, survey)
    _print_masking(console, survey)
    _print_data(console, survey)
    _print_terms(console, survey)
    for problem in survey.problems:
        console.alert("missing:", problem, "red")


def _print_work(console: Terminal, survey: Survey) -> None:
    rows = [
        (work.evaluator, str(work.total), str(work.there), str(work.total - work.there))
        for work in survey.work
    ]
    console.print(ruled("Measurements", ("evaluator", "in all", "there", "to do"), rows))


def _print_time(console: Terminal, survey: Survey) -> None:
    """Print the estimated run time, if earlier results say how long such work takes."""
    if not any(work.total - work.there for work in survey.work):
        return
    if survey.seconds is None:
        console.print("  run time: unknown (no stored result of these methods and evaluators)")
        return
    time = timedelta(seconds=max(1, round(survey.seconds)))
    console.print(f"  run time: about {time} on one worker, from the times of stored results")


def _print_sources(console: Terminal, survey: Survey) -> None:
    if not survey.sources:
        return
    header = ("corpus", "domain", "label", "passages", "words", "tokens\n(about)")
    rows = [
        (s.corpus, s.domain, s.label, str(s.passages), str(s.words), str(s.tokens))
        for s in survey.sources
    ]
    console.print(ruled("Passages to unlearn", header, rows, left=(0, 1, 2), fold=(0, 2)))


def _print_masking(console: Terminal, survey: Survey) -> None:
    for masker, estimate in survey.masking:
        if not estimate.calls:
            continue
        cost = "price unknown" if estimate.cost is None else f"about ${estimate.cost:.2f}"
        console.print(
            f"masker {masker}: {estimate.calls} calls, about {estimate.tokens_in} tokens in and "
            f"{estimate.tokens_out} out, {cost}",
        )


def _print_data(console: Terminal, survey: Survey) -> None:
    if not survey.data:
        return
    rows = [
        (
            pin.name,
            pin.licence,
            "yes" if path is not None else Text("to fetch", "yellow"),
            pin.defects,
        )
        for pin, path in survey.data
    ]
    header = ("data set", "licence", "here", "known defects")
    console.print(ruled("Data", header, rows, left=(0, 1, 2, 3), fold=(1, 3)))


def _print_terms(console: Terminal, survey: Survey) -> None:
    for model, terms in survey.terms:
        console.print(f"model {model}: {terms}")
