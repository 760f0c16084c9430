"""``${VAR}`` in the scalars of a file: put in after parsing, so that no value can become YAML."""

import re
from collections.abc import Mapping

from proxy.config.diagnostic import SettingError
from proxy.core.close_name import close_name

_REFERENCE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<how>:-|:\?)(?P<rest>[^}]*))?\}|\{)")


def names_in(text: str) -> list[str]:
    """Return the names of the variables that the text refers to."""
    return [match["name"] for match in _REFERENCE.finditer(text) if match["name"]]


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """Replace ``${V}``, ``${V:-default}``, ``${V:?text}`` and ``$$`` (a dollar sign).

    A single $ stays ($2/day is an amount). Raises SettingError for a variable that is not set.
    """
    if "$" not in text:
        return text
    return _REFERENCE.sub(lambda match: _value(match, environ), text)


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    name = match["name"]
    if name is None:
        raise SettingError("${ begins a variable: write ${NAME}, ${NAME:-default} or ${NAME:?text}", show=False)
    if match["how"] == ":-":
        return environ.get(name) or match["rest"]
    if match["how"] == ":?":
        value = environ.get(name)
        if not value:
            text = match["rest"] or f"the environment variable {name} is not set"
            raise SettingError(text.rstrip("."), show=False)
        return value
    if name not in environ:
        raise SettingError(f"the environment variable {name} is not set", _did_you_mean(name, environ), show=False)
    return environ[name]


def _did_you_mean(name: str, environ: Mapping[str, str]) -> str:
    close = close_name(name, environ, 0.85)
    return f"Did you mean {close}?" if close else ""
