"""``harness data``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from harness.cli.output import echo, echo_json
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.data.pins import Pin


class Known(NamedTuple):
    """A pinned data set, the plugins that use it, and its path (None: not on this machine)."""

    pin: Pin
    users: tuple[str, ...]
    path: Path | None


@click.group("data")
def data_command() -> None:
    """List, fetch and verify data sets."""


@data_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@pass_session
def list_command(session: Session, as_json: bool) -> None:
    """Show each data set: the plugins that use it, licence, path and known defects."""
    entries = list(_known(session, ()))
    if as_json:
        echo_json([_plain(entry) for entry in entries])
        return
    from rich.text import Text

    from harness.render.console.ruled import ruled

    header = ("data set", "used by", "licence", "path", "known defects")
    rows = [
        (pin.name, ", ".join(users), pin.licence,
         str(path) if path else Text("not found", "yellow"), pin.defects)
        for pin, users, path in entries
    ]  # fmt: skip
    left = range(len(header))
    session.stdout.print(ruled("Data sets", header, rows, left=left, fold=left))


@data_command.command("fetch")
@click.argument("names", nargs=-1)
@pass_session
def fetch_command(session: Session, names: tuple[str, ...]) -> None:
    """Fetch NAMES (default: all that are missing) and check them against their pins."""
    from harness.errors import DataError

    failed = False
    for pin, _, path in _known(session, names):
        try:
            place = path or session.data.locate(pin)
        except DataError as error:
            failed = True
            echo(f"{pin.name}: {error}", err=True)
            continue
        echo(f"{pin.name}: {'already present' if path else 'fetched'}: {place}")
    if failed:
        sys.exit(DataError.exit_code)


@data_command.command("verify")
@click.argument("names", nargs=-1)
@pass_session
def verify_command(session: Session, names: tuple[str, ...]) -> None:
    """Check NAMES (default: all) item by item. The exit code is 4 if one is altered.

    "bytes ok" means that it is the published file. "items ok" means that it is another file with
    the same items in the same order.
    """
    from harness.data.pins import check
    from harness.errors import DataError

    bad = False
    for pin, _, path in _known(session, names):
        if path is None:
            echo(f"{pin.name}: not found")
            continue
        try:
            checked = check(pin, path)
        except DataError as error:
            bad = True
            echo(f"{pin.name}: unreadable: {error}")
            continue
        bad = bad or checked.state == "altered"
        echo(f"{pin.name}: {checked.state}: {len(checked.rows)} items in {path}")
    if bad:
        sys.exit(DataError.exit_code)


def _known(session: Session, names: Iterable[str]) -> Iterator[Known]:
    """Yield the data sets of all plugins by name, or only the named ones.

    Raises:
        DataError: no data set has such a name.
    """
    from harness.data.places import DataStore
    from harness.errors import DataError, did_you_mean

    users: dict[str, list[str]] = {}
    pins: dict[str, Pin] = {}
    for entry in session.registry:
        for pin in entry.plugin.pins:
            pins.setdefault(pin.name, pin)
            users.setdefault(pin.name, []).append(entry.name)
    for name in names:
        if name not in pins:
            raise DataError(f"no data set '{name}'{did_you_mean(name, pins)}")
    local = DataStore(session.data.data_dir, session.data.cache_dir, offline=True)
    for name in sorted(names or pins):
        try:
            path: Path | None = local.locate(pins[name])
        except DataError:
            path = None
        yield Known(pins[name], tuple(sorted(set(users[name]))), path)


def _plain(entry: Known) -> dict[str, object]:
    pin = entry.pin
    return {
        "name": pin.name,
        "used_by": list(entry.users),
        "licence": pin.licence,
        "citation": pin.citation,
        "url": pin.url,
        "sha256": pin.sha256,
        "items_sha256": pin.items_sha256,
        "defects": pin.defects,
        "path": str(entry.path) if entry.path else None,
    }
