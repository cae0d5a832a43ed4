"""``harness publish``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session
from harness.garbage import seldom_collected

if TYPE_CHECKING:
    from harness.storage.store import Store


@click.command("publish")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@results_option
@click.option(
    "--to",
    "target",
    required=True,
    metavar="PATH|hf://datasets/ORG/NAME",
    help="Folder to write, or a repository of the Hugging Face hub (hf://datasets/ORG/NAME, "
    "hf://spaces/ORG/NAME).",
)
@click.option("--title", default="Bias transfer runs", show_default=True)
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option(
    "--allow-paths", is_flag=True, help="Also publish runs that contain paths of this machine."
)
@pass_session
@seldom_collected()
def publish_command(
    session: Session,
    runs: tuple[str, ...],
    results: Path,
    target: str,
    title: str,
    private: bool,
    allow_paths: bool,
) -> None:
    """Write RUNs as a static page and a data set, or upload them to a hub.

    The folder contains a page with one leaderboard over all RUNs, an index for programs, a data
    card, and each run with its page and its numbers. Texts and checkpoints are left out. Runs that
    you published there before stay in the leaderboard.
    """
    from harness.errors import ServiceError
    from harness.storage.store import find_run
    from harness.storage.uploading import SCHEME, HubTarget, upload

    stores = {}
    for run in runs:
        store = find_run(run, results)
        name = store.folder.resolve().name
        if name in stores:
            raise click.UsageError(f"two runs are called '{name}': rename a folder")
        stores[name] = store
    _check(stores, allow_paths)
    if not target.startswith(SCHEME):
        _write(session, Path(target), stores, title)
        session.stdout.print(target, highlight=False, markup=False, soft_wrap=True)
        return
    repository = HubTarget.of(target)
    if session.offline:
        raise ServiceError("--offline: nothing is uploaded; give --to PATH to write a folder")
    with tempfile.TemporaryDirectory(prefix="harness-publish-") as scratch:
        _write(session, Path(scratch), stores, title)
        url = upload(Path(scratch), repository, f"Publish {', '.join(stores)}", private=private)
    session.stdout.print(url, highlight=False, markup=False, soft_wrap=True)


def _check(stores: Mapping[str, Store], allow_paths: bool) -> None:
    from harness.errors import StoreError
    from harness.render.publication import check_names, machine_paths

    check_names(stores)
    for name, store in stores.items():
        paths = [] if allow_paths else machine_paths(store)
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            raise StoreError(
                f"{name}: the run names paths of this machine ({paths[0]}{more}); publish it all "
                "the same with --allow-paths"
            )


def _write(session: Session, folder: Path, stores: dict[str, Store], title: str) -> None:
    from harness.cli.report import report_page
    from harness.render.publication import ARCHIVE, write_publication
    from harness.runs import open_run
    from harness.storage.archive import open_archive

    def page(store: Store) -> str:
        return report_page(session, open_run(store.folder), sentences=False)

    with tempfile.TemporaryDirectory(prefix="harness-published-") as scratch:
        for archive in sorted(folder.glob(f"runs/*/{ARCHIVE}")):
            name = archive.parent.name
            if name not in stores:
                stores[name] = open_archive(archive, Path(scratch), name)
        write_publication(folder, stores, page, title)
