"""Settings in the process environment: TOLLKEEPER_* and the provider's key."""

from collections.abc import Iterator, Mapping
from typing import get_origin

from proxy.config.older_names import present_names
from proxy.config.schema import Settings
from proxy.core.close_name import close_name

_SECTIONS = ("server", "currency", "log", "ledger")
_SHORT = {
    "TOLLKEEPER_HOST": ("server", "host"),
    "TOLLKEEPER_PORT": ("server", "port"),
    "TOLLKEEPER_DATABASE": ("database",),
    "TOLLKEEPER_TIMEZONE": ("timezone",),
    "TOLLKEEPER_ADMIN_TOKEN": ("admin_token",),
    "TOLLKEEPER_LOG_LEVEL": ("log", "level"),
    "TOLLKEEPER_LOG_FORMAT": ("log", "format"),
}
_NO_SETTING = ("TOLLKEEPER_CONFIG", "TOLLKEEPER_MASTER_KEY")  # the path of the file itself; a secret


def _table() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = dict(_SHORT)
    for section in _SECTIONS:
        model = Settings.fields[section].annotation
        for name, field in getattr(model, "fields", {}).items():
            if get_origin(field.annotation) is not dict:  # a variable has no words for one
                table[_variable(section, name)] = (section, name)
    return table


def _older_table() -> dict[str, str]:
    return {
        _variable(section, older): _variable(section, name)
        for section in _SECTIONS
        for older, name in present_names((section,)).items()
    }


def _variable(section: str, name: str) -> str:
    return f"TOLLKEEPER_{section}__{name}".upper()


VARIABLES: Mapping[str, tuple[str, ...]] = _table()
OLDER_VARIABLES: Mapping[str, str] = _older_table()  # older name -> present name


def overrides_in(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield (path of the setting, text, name of the variable); an empty variable counts as not set."""
    for name, path in VARIABLES.items():
        if environ.get(name):
            yield path, environ[name], name
    for older, name in OLDER_VARIABLES.items():
        if environ.get(older) and not environ.get(name):
            yield VARIABLES[name], environ[older], older


def set_twice(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield (path of the setting, older name, present name) for variables that are set under both names."""
    for older, name in OLDER_VARIABLES.items():
        if environ.get(older) and environ.get(name):
            yield VARIABLES[name], older, name


def is_list(path: tuple[str, ...]) -> bool:
    """Return whether the setting is a list, which variables and flags write with commas."""
    annotation: object = Settings
    for name in path:
        annotation = getattr(annotation, "fields", {})[name].annotation
    return get_origin(annotation) is tuple


def likely_slips(environ: Mapping[str, str], used: set[str]) -> Iterator[str]:
    """Yield a warning for each TOLLKEEPER_* variable that sets nothing but looks like a misspelt setting."""
    for name in sorted(environ):
        if name in OLDER_VARIABLES and environ[name]:
            yield f"the environment variable {name} is now called {OLDER_VARIABLES[name]}. The older name still works."
        elif name.startswith("TOLLKEEPER_") and name not in VARIABLES and name not in used and name not in _NO_SETTING:
            close = close_name(name, VARIABLES, 0.85)
            if close:
                yield f"the environment variable {name} sets nothing. Did you mean {close}?"
