"""Content keys: the hash of everything that can change a result, kept beside the result.

docs/specs.md says what is in a key and what is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from harness.boundary import guarded
from harness.data.files import expanded, is_file, is_folder
from harness.data.pins import file_sha256
from harness.data.places import DataStore
from harness.families import NOT_IN_KEY, Family, Plugin
from harness.planning.code import code_hash
from harness.planning.spec import PluginUse
from harness.plugins import Registry

KEY_LENGTH = 24

ENGINE = 2
"""Raise it when the way that fits and measurements are carried out changes their results.

2: random generators are seeded once a fit; a fit's seed draws its passages.
"""

OF_MEASURING = frozenset(
    {"step", "evaluator", "domains", "items", "texts", "neutral_texts", "masked_texts"}
)
"""Names of the inputs of a measurement that its fit does not depend on. The inputs of a measurement
are these and the inputs of its fit."""


def content_key(inputs: Mapping[str, JsonValue]) -> str:
    """Return the key of a task: a hash of its inputs' canonical JSON, 24 hex digits (96 bits)."""
    text = _json(inputs)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]


class KeyMaker:
    """Makes content keys of many tasks that share most of their inputs.

    The JSON of each shared part is worked out once, so parts must not be changed afterwards. The
    names of the inputs are plain words.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, str]] = {}

    def key(self, inputs: Mapping[str, JsonValue]) -> str:
        """Return the same as `content_key`."""
        text = ",".join([f'"{name}":{self._part(inputs[name])}' for name in sorted(inputs)])
        text = f"{{{text}}}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]

    def _part(self, value: JsonValue) -> str:
        if not isinstance(value, (dict, list)):
            return str(value) if type(value) is int else _json(value)
        encoded = self._known.get(id(value))
        if encoded is None:  # the value is kept, so no other can have its id
            encoded = self._known[id(value)] = (value, _json(value))
        return encoded[1]


_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


class PluginInputs:
    """What plugins contribute to keys; each fingerprint is taken once."""

    def __init__(self, registry: Registry, data: DataStore) -> None:
        self._registry = registry
        self._data = data.knowing(registry.domains)
        self._known: dict[tuple[Family, str, str, str | None], dict[str, JsonValue]] = {}
        self._code: dict[tuple[Family, str], str] = {}

    def pinned(self, use: PluginUse) -> PluginUse:
        """Return a model as it is loaded, with what would be looked up then written out.

        A branch of a hub becomes the commit that it is at now. This use is the one to key and
        to load, so a branch that moves afterwards changes neither.

        Raises:
            HarnessError: it cannot be looked up.
        """
        entry = self._registry.get("model", use.use)
        plugin = self._registry.create("model", use.use, use.config)
        with guarded(entry, "pinned"):
            config = plugin.pinned().model_dump(mode="json")
        return use.model_copy(update={"config": config})

    def of(self, family: Family, use: PluginUse, domain: str | None = None) -> dict[str, JsonValue]:
        """Name, distribution, version, code, config and fingerprint of a plugin as used.

        Args:
            family: the plugin's family.
            use: the plugin and its config; a model's is `pinned`.
            domain: the source domain, if the plugin works on one: its fingerprint then sees the
                term lists of this domain alone, unless it declares `every_domain`, so that
                another domain's cannot change the key.

        Raises:
            HarnessError: the fingerprint cannot be taken (data or model missing).
        """
        config = json.dumps(use.config, sort_keys=True)
        key = (family, use.use, config, domain)
        if key not in self._known:
            entry = self._registry.get(family, use.use)
            plugin = self._registry.create(family, use.use, use.config)
            all_terms = domain is None or plugin.every_domain
            data = self._data if all_terms else self._data.only(str(domain))
            with guarded(entry, "fingerprint"):
                fingerprint = dict(plugin.fingerprint(data))
                in_key = config_in_key(plugin)
            self._known[key] = {
                "name": use.use,
                "distribution": entry.origin.distribution,
                "version": entry.origin.version,
                "code": self._code_of(family, use.use),
                "config": in_key,
                "fingerprint": fingerprint,
            }
        return self._known[key]

    def _code_of(self, family: Family, name: str) -> str:
        if (family, name) not in self._code:
            self._code[family, name] = code_hash(self._registry.get(family, name))
        return self._code[family, name]


def config_in_key(plugin: Plugin[Any]) -> dict[str, JsonValue]:
    """Return the part of a plugin's config that can change its answer.

    Fields marked `NOT_IN_KEY` are left out, in nested configs too. A field that names a local file
    or folder (`Plugin.paths`) is replaced by the hash of its content.
    """
    kept = _kept_fields(plugin.config)
    for name, path in plugin.paths().items():
        if name in kept and (content := content_sha256(path)) is not None:
            kept[name] = {"content": content}
    return kept


def _kept_fields(config: BaseModel) -> dict[str, JsonValue]:
    kept: dict[str, JsonValue] = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        extra = field.json_schema_extra
        value = getattr(config, name)
        if isinstance(extra, dict) and NOT_IN_KEY.items() <= extra.items():
            del kept[name]
        elif isinstance(value, BaseModel):
            kept[name] = _kept_fields(value)
        elif isinstance(value, Path) and (content := content_sha256(value)) is not None:
            kept[name] = {"content": content}
    return kept


def content_sha256(path: Path) -> str | None:
    """Hash of a file, or of the names and bytes of the files of a folder; None: there is neither.

    Hidden files and whatever is not a regular file are left out.
    """
    path = expanded(path)
    if is_file(path):
        return file_sha256(path)
    if not is_folder(path):
        return None
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        inner = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in inner.parts):
            digest.update(f"{inner.as_posix()} {file_sha256(file)}\n".encode())
    return digest.hexdigest()
