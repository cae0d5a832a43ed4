"""Content keys: the hash of everything that can change a result, kept beside the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pydantic import JsonValue

from harness.data.places import DataStore
from harness.families import NOT_IN_KEY, Family, PluginConfig
from harness.planning.spec import PluginUse
from harness.plugins import Registry

KEY_LENGTH = 24


def content_key(inputs: Mapping[str, JsonValue]) -> str:
    """Return the key of a task: a hash of its inputs' canonical JSON, 24 hex digits (96 bits)."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def _in_key(config: Mapping[str, JsonValue], kind: type[PluginConfig]) -> dict[str, JsonValue]:
    """The config with its defaults wherever a field says that it cannot change the answer."""
    found = dict(config)
    for name, field in kind.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and NOT_IN_KEY.items() <= extra.items():
            found[name] = None if field.is_required() else field.get_default()
    return found


class PluginInputs:
    """What a plugin contributes to a key; each fingerprint is taken once."""

    def __init__(self, registry: Registry, data: DataStore) -> None:
        self._registry = registry
        self._data = data.knowing(registry.domains)
        self._known: dict[tuple[Family, str, str | None], dict[str, JsonValue]] = {}

    def of(self, family: Family, use: PluginUse, domain: str | None = None) -> dict[str, JsonValue]:
        """Name, distribution, version, config and fingerprint of a plugin as used.

        Args:
            family: the plugin's family.
            use: the plugin and its config.
            domain: the source domain, if the plugin works on one: its fingerprint then sees the
                term lists of this domain alone, unless it declares `every_domain`, so that
                another domain's cannot change the key.

        Raises:
            HarnessError: the fingerprint cannot be taken (data or model missing).
        """
        key = (family, use.label, domain)
        if key not in self._known:
            entry = self._registry.get(family, use.use)
            plugin = self._registry.create(family, use.use, use.config)
            all_terms = domain is None or plugin.every_domain
            data = self._data if all_terms else self._data.only(str(domain))
            self._known[key] = {
                "name": use.use,
                "distribution": entry.origin.distribution,
                "version": entry.origin.version,
                "config": _in_key(use.config, entry.plugin.Config),
                "fingerprint": dict(plugin.fingerprint(data)),
            }
        return self._known[key]
