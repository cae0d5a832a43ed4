"""Debiased models that a run keeps, in ``checkpoints/<fit key>/step-<n>/`` of its folder."""

from __future__ import annotations

import secrets
from pathlib import Path

from harness.errors import StoreError
from harness.files import PARTIAL, is_real_folder, links_below, sync, sync_tree, use_usual_modes
from harness.storage.run_folder import RunFolder, unwritable


class Checkpoints:
    """Reads and writes the kept checkpoints of a run folder."""

    def __init__(self, files: RunFolder) -> None:
        self._files = files

    def scratch(self) -> Path:
        """Make a folder for checkpoints that are being written; it is removed with the lock.

        Raises:
            StoreError: it cannot be made.
        """
        path = self._files.folder("checkpoints") / f".{secrets.token_hex(4)}{PARTIAL}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise unwritable(path, error) from None
        return path

    def keep(self, fit_key: str, step: int, folder: Path) -> None:
        """Take a saved checkpoint from the scratch folder, in place of an earlier one.

        Raises:
            StoreError: it cannot be taken.
        """
        place = self._place(fit_key, step)
        try:
            use_usual_modes(folder)
            sync_tree(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                place.rename(folder.with_name(f"{folder.name}-before"))
            folder.rename(place)
            sync(place.parent)
        except OSError as error:
            raise unwritable(place, error) from None

    def find(self, fit_key: str, step: int) -> Path | None:
        """Return the folder of a checkpoint that the run kept; None if it kept none.

        Raises:
            StoreError: the folder has links or devices in it, which are never followed.
        """
        path = self._place(fit_key, step)
        if not path.exists():
            return None
        strange = [path] if not is_real_folder(path) else links_below(path)
        if strange:
            raise StoreError(
                f"{strange[0]}: not a regular file or folder; a kept checkpoint is read only if it "
                "has no links"
            )
        return path

    def _place(self, fit_key: str, step: int) -> Path:
        self._files.path("records", fit_key)  # a key, and not a path
        self._files.folder("checkpoints")
        return self._files.folder(f"checkpoints/{fit_key}") / f"step-{step}"
