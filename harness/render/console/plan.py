"""What `harness plan` shows."""

from __future__ import annotations

from datetime import timedelta

from rich.table import Table
from rich.text import Text

from harness.planning.plan import Plan
from harness.planning.survey import Survey
from harness.render.console.terminal import Terminal


def print_survey(console: Terminal, plan: Plan, found: Survey) -> None:
    """Print the cells, the work, the passages, the cost, the data and the problems."""
    spec = plan.spec
    axes = {**spec.axes(), "steps": spec.steps, "targets": spec.targets}
    console.alert(spec.name, spec.description, "bold", width=console.width)
    for name, values in axes.items():
        if values:
            console.print(f"  {name:<10} {', '.join(map(str, values))}")
    console.print(
        f"  {found.fits} debiased models ({found.fits_there} complete), "
        f"{len(plan.tasks())} measurements",
    )
    _print_work(console, found)
    _print_time(console, found)
    _print_sources(console, found)
    _print_masking(console, found)
    _print_data(console, found)
    _print_terms(console, found)
    for problem in found.problems:
        console.alert("missing:", problem, "red")


def _table(title: str, *columns: str, numbers: int) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i >= len(columns) - numbers else "left")
    return table


def _print_work(console: Terminal, found: Survey) -> None:
    table = _table("Measurements", "evaluator", "in all", "there", "to do", numbers=3)
    for work in found.work:
        table.add_row(
            work.evaluator, str(work.total), str(work.there), str(work.total - work.there)
        )
    console.print(table)


def _print_time(console: Terminal, found: Survey) -> None:
    """Print the estimated run time, if earlier results say how long such work takes."""
    if not any(work.total - work.there for work in found.work):
        return
    if found.seconds is None:
        console.print("  run time: unknown (no stored result of these methods and evaluators)")
        return
    time = timedelta(seconds=max(1, round(found.seconds)))
    console.print(f"  run time: about {time} on one worker, from the times of stored results")


def _print_sources(console: Terminal, found: Survey) -> None:
    if not found.sources:
        return
    columns = ("corpus", "domain", "label", "passages", "words", "tokens (about)")
    table = _table("Passages to unlearn", *columns, numbers=3)
    for s in found.sources:
        table.add_row(s.corpus, s.domain, s.label, str(s.passages), str(s.words), str(s.tokens))
    console.print(table)


def _print_masking(console: Terminal, found: Survey) -> None:
    for masker, estimate in found.masking:
        if not estimate.calls:
            continue
        cost = "price unknown" if estimate.cost is None else f"about ${estimate.cost:.2f}"
        console.print(
            f"masker {masker}: {estimate.calls} calls, about {estimate.tokens_in} tokens in and "
            f"{estimate.tokens_out} out, {cost}",
        )


def _print_data(console: Terminal, found: Survey) -> None:
    if not found.data:
        return
    table = _table("Data", "data set", "licence", "here", "known defects", numbers=0)
    for pin, path in found.data:
        here = Text("yes") if path is not None else Text("to fetch", "yellow")
        table.add_row(pin.name, pin.licence, here, pin.defects)
    console.print(table)


def _print_terms(console: Terminal, found: Survey) -> None:
    for model, terms in found.terms:
        console.print(f"model {model}: {terms}")
