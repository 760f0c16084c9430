"""Settings for people and editors: what is in force and where it comes from, the JSON Schema, the example file."""

from collections.abc import Iterator
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from proxy.config.block import Block
from proxy.config.check import Path as SettingPath
from proxy.config.limit import Limit, plain_text, terms_text
from proxy.config.load import LoadedConfig
from proxy.config.older_names import OLDER_NAMES
from proxy.config.overlay import DATABASE, Overlay
from proxy.config.schema import Limits, PresetTarget, Settings
from proxy.config.setting_path import block_at, written
from proxy.config.user import KEY_LIMIT_ENTRIES, LIMIT_ENTRIES
from proxy.core.secret import Secret


def example() -> str:
    """Return config.example.yaml, which is part of the installed package."""
    return Path(__file__).with_name("example.yaml").read_text(encoding="utf-8")


def effective(loaded: LoadedConfig) -> Iterator[tuple[str, Any, str]]:
    """Yield (setting, value, source) for every setting in force; secrets are ``***``.

    Values are text, numbers, flags, None, and lists or blocks that are empty.
    """
    for path, value in _leaves(loaded.settings, ()):
        yield written(path), value, origin(loaded, path)


def in_force(loaded: LoadedConfig, overlay: Overlay, *, has_users: bool = True) -> Iterator[tuple[str, Any, str]]:
    """Yield (setting, value, source) as effective() does, with what the database lays over the file.

    has_users: with what users have of their own, who may be thousands.
    """
    settings = overlay.settings if has_users else overlay.settings.replaced({"users": {}})
    for path, value in _leaves(settings, ()):
        if path == ("users",) and not has_users:
            continue
        is_stored = path != () and overlay.source(path) == DATABASE
        yield written(path), value, DATABASE if is_stored else origin(loaded, path)


def as_json(loaded: LoadedConfig) -> dict[str, Any]:
    """Return the settings in force as JSON values; secrets are ``***``."""
    value = _plain(loaded.settings)
    assert isinstance(value, dict)
    return value


def block_json(block: Block) -> dict[str, Any]:
    """Return one block of settings as JSON values; secrets are ``***``."""
    value = _plain(block)
    assert isinstance(value, dict)
    return value


def given_json(block: Block) -> dict[str, Any]:
    """Return what a block was given, as JSON values; secrets are ``***``."""
    return {
        name: given_json(value) if isinstance(value, Block) else _plain(value)
        for name in type(block).fields
        if name in block.given and (value := getattr(block, name)) is not None
    }


def _leaves(value: Any, path: SettingPath) -> Iterator[tuple[SettingPath, Any]]:
    if isinstance(value, PresetTarget) and value.given == {"target"}:  # in its short form
        yield path, value.target
    elif isinstance(value, Block):
        for name in type(value).fields:
            yield from _leaves(getattr(value, name), (*path, name))
    elif isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    elif isinstance(value, tuple | list) and value:
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, number))
    else:
        yield path, _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Block):
        return {name: _plain(getattr(value, name)) for name in type(value).fields}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Limit):
        return limit_text(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, time):
        return value.isoformat("minutes")
    if isinstance(value, Secret | Path):
        return str(value)
    return value


def limit_text(limit: Limit) -> str:
    """Write a limit in its short form, with "soft" behind it where it is."""
    return f"{plain_text(limit)}{' soft' if limit.mode == 'soft' else ''}{terms_text(limit)}"


def origin(loaded: LoadedConfig, path: SettingPath) -> str:
    """Find the place of a value, also where a short form leaves out "targets" or a list around one value."""
    alone = path[:-1] if isinstance(path[-1], int) else path
    for form in (path, alone):
        for at in (form, tuple(step for step in form if step != "targets")):
            if at in loaded.origins:
                return loaded.origins[at]
    if alone == path:
        return "default"
    # A limit in its long form: its parts stand in lines of their own.
    parts = (at for at in loaded.origins if at[: len(path)] == path or at[:-1] == alone)
    return loaded.origins.get(next(parts, ()), "default")


# --- JSON Schema

_VARIABLE = {"type": "string", "pattern": r"\$\{"}


def json_schema() -> dict[str, Any]:
    """Return the file's JSON Schema, including short forms, ``${VAR}`` anywhere, and names without a value."""
    from proxy.config.block_schema import block_schema  # noqa: PLC0415 - only editors ask

    schema = block_schema(Settings)
    definitions = schema["$defs"]
    for block in [schema, *definitions.values()]:
        for name, field in block.get("properties", {}).items():
            block["properties"][name] = _as_written(field)
    definitions["Provider"]["required"] = []  # base_url is known for two names; the program says where it is missing
    for path, names in OLDER_NAMES.items():
        block = block_at(path)
        properties = definitions[block.__name__ if block is not None else ""]["properties"]
        properties |= {older: {**properties[present], "deprecated": True} for older, present in names.items()}
    for name, entries in (("Limits", LIMIT_ENTRIES), ("KeyLimits", KEY_LIMIT_ENTRIES)):
        definitions[name] = {"anyOf": [definitions[name], entries]}
    texts = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    for name, short in (("Preset", ({"type": "string"}, texts)), ("PresetTarget", ({"type": "string"},))):
        definitions[name] = {"anyOf": [*short, definitions[name]]}
    values = definitions["VariableSettings"]["properties"]["values"]
    definitions["VariableSettings"]["properties"]["values"] = {**values, "anyOf": [*values["anyOf"], texts]}
    definitions["VariableSettings"] = {"anyOf": [{"type": "string"}, texts, definitions["VariableSettings"]]}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Tollkeeper's configuration"
    return schema


def _as_written(field: dict[str, Any]) -> dict[str, Any]:
    """Allow what a person may write for a field besides its value."""
    notes: dict[str, Any] = {key: field[key] for key in ("description", "default", "title") if key in field}
    if field.get("why"):
        notes["description"] = f"{notes['description']} Default: {field['why']}"
    value: dict[str, Any] = {
        key: item for key, item in field.items() if key not in (*notes, "why", "restart", "description")
    }
    value = _with_variables(value)
    return {**notes, "anyOf": [value, {"type": "null"}, _VARIABLE]}


def _with_variables(value: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with ${VAR}, and one value for a list of one, allowed inside containers too."""
    if value.get("type") == "array" and isinstance(value.get("items"), dict):
        items = {"anyOf": [_with_variables(value["items"]), _VARIABLE]}
        return {"anyOf": [{**value, "items": items}, items]}
    if isinstance(value.get("additionalProperties"), dict):
        inner = _with_variables(value["additionalProperties"])
        return {**value, "additionalProperties": {"anyOf": [inner, {"type": "null"}, _VARIABLE]}}
    if "anyOf" in value:
        return {**value, "anyOf": [_with_variables(option) for option in value["anyOf"]]}
    return value


def schema_blocks() -> dict[str, type[Block]]:
    """Return each block of settings by its path in the documentation, with <name> in place of names."""
    from proxy.config.reconcile import ReconcileSettings  # noqa: PLC0415 - only documentation asks
    from proxy.config.schema import (  # noqa: PLC0415 - likewise
        AdminSettings,
        AlertDestination,
        AlertRule,
        Alerts,
        Attribution,
        AutoSettings,
        AutoWeights,
        BreakerSettings,
        Checks,
        Currency,
        Defaults,
        EndUsers,
        Group,
        KeyLimits,
        LedgerSettings,
        Log,
        MetricsSettings,
        ModelSettings,
        Preset,
        PresetTarget,
        PriceSettings,
        Provider,
        ProviderKey,
        QuietHoursSettings,
        Quotas,
        RetentionSettings,
        Retry,
        RoutingSettings,
        SecretSettings,
        Server,
        Timeouts,
        Token,
        User,
        VariableSettings,
    )

    return {
        "": Settings,
        "server": Server,
        "admin": AdminSettings,
        "currency": Currency,
        "log": Log,
        "metrics": MetricsSettings,
        "ledger": LedgerSettings,
        "quotas": Quotas,
        "retention": RetentionSettings,
        "reconcile": ReconcileSettings,
        "secrets": SecretSettings,
        "routing": RoutingSettings,
        "providers.<name>": Provider,
        "providers.<name>.attribution": Attribution,
        "providers.<name>.prices.<model>": PriceSettings,
        "providers.<name>.keys[]": ProviderKey,
        "providers.<name>.keys[].limits": KeyLimits,
        "providers.<name>.timeouts.<model>": Timeouts,
        "providers.<name>.breaker": BreakerSettings,
        "providers.<name>.retry": Retry,
        "models.<model>": ModelSettings,
        "auto": AutoSettings,
        "auto.weights": AutoWeights,
        "presets.<name>": Preset,
        "presets.<name>.targets[]": PresetTarget,
        "presets.<name>.variables.<name>": VariableSettings,
        "presets.<name>.checks": Checks,
        "limits": Limits,
        "defaults": Defaults,
        "groups.<name>": Group,
        "end_users": EndUsers,
        "alerts": Alerts,
        "alerts.quiet_hours": QuietHoursSettings,
        "alerts.rules.<name>": AlertRule,
        "alerts.destinations.<name>": AlertDestination,
        "users.<name>": User,
        "users.<name>.tokens[]": Token,
    }
