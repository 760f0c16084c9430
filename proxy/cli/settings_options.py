"""Options for the settings that a user or a group has of its own, each with one that removes it."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from msgspec import Struct

from proxy.cli.limit_option import limit_option, read_limits

F = TypeVar("F", bound=Callable[..., Any])
_SWITCH = click.Choice(["on", "off"])
_IN_FORCE = "The general ones apply again."


class SettingOption(Struct, frozen=True):
    """A setting, the option that sets it and the one that removes it.

    read: what is typed, all of it where the option may come several times -> the value, as the configuration has it.
    """

    name: str
    option: str
    removing: str
    help: str
    read: Callable[[Any], Any] = lambda value: value
    multiple: bool = False
    type: Any = None
    metavar: str | None = None


def _list(values: Sequence[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _pairs(option: str, values: Sequence[str], read: Callable[[str], Any]) -> dict[str, Any]:
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r}: write NAME=VALUE.", param_hint=option)
        found[name.strip()] = read(text.strip())
    return found


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


_OPTIONS = (
    SettingOption("limits", "--limit", "--no-limits", "", read_limits, multiple=True, metavar="LIMIT"),
    SettingOption(
        "models",
        "--models",
        "--no-models",
        "Models and presets that may be asked for, like 'openai/*'; several with commas.",
        _list,
        multiple=True,
        metavar="PATTERNS",
    ),
    SettingOption(
        "max_tokens", "--max-tokens", "--no-max-tokens", "Largest max_tokens of one request.", type=click.IntRange(1)
    ),
    SettingOption(
        "default_model", "--default-model", "--no-default-model", "Model of a request that names none.", metavar="MODEL"
    ),
    SettingOption(
        "default_preset", "--default-preset", "--no-default-preset", "The same, as a preset.", metavar="PRESET"
    ),
    SettingOption(
        "parameters",
        "--parameter",
        "--no-parameters",
        "Field of the body that is used where a request has none, like temperature=0.",
        lambda values: _pairs("--parameter", values, _json_or_text),
        multiple=True,
        metavar="NAME=VALUE",
    ),
    SettingOption(
        "fallback", "--fallback", "--no-fallback", "off: only the first target of a preset is asked.", type=_SWITCH
    ),
    SettingOption(
        "cheapest",
        "--cheapest",
        "--no-cheapest",
        "on: targets in the order of their prices.",
        lambda value: value == "on",
        type=_SWITCH,
    ),
    SettingOption(
        "use_cases",
        "--use-case",
        "--no-use-cases",
        "Preset for a use case.",
        lambda values: _pairs("--use-case", values, str),
        multiple=True,
        metavar="NAME=PRESET",
    ),
    SettingOption(
        "preferences",
        "--preferences",
        "--no-preferences",
        "on: they may set defaults of their own.",
        lambda value: value == "on",
        type=_SWITCH,
    ),
)
USER_OPTIONS = (
    *_OPTIONS,
    SettingOption(
        "expires_at",
        "--expires",
        "--no-expiry",
        "When the access ends: 30d, 12h, 2027-01-31, 2027-01-31T08:00.",
        metavar="WHEN",
    ),
)
GROUP_OPTIONS = (
    *_OPTIONS,
    SettingOption(
        "parent", "--parent", "--no-parent", "The group whose limits count this one's members too.", metavar="GROUP"
    ),
)


def settings_options(options: Sequence[SettingOption], *, removable: bool) -> Callable[[F], F]:
    """Add the options to a command, which gets what was typed as settings: a value, or None for what is removed."""

    def add(command: F) -> F:
        @functools.wraps(command)
        def run(*arguments: Any, **given: Any) -> Any:
            settings: dict[str, Any] = {}
            for each in options:
                value = given.pop(each.name)
                is_removed = given.pop(f"no_{each.name}", False)
                if is_removed and value not in (None, ()):
                    raise click.UsageError(f"Give {each.option} or {each.removing}.")
                if is_removed:
                    settings[each.name] = None
                elif value not in (None, ()):
                    settings[each.name] = each.read(value)
            return command(*arguments, settings=settings, **given)

        found: Any = run
        for each in reversed(options):
            if removable:
                found = click.option(each.removing, f"no_{each.name}", is_flag=True, help=f"Remove it. {_IN_FORCE}")(
                    found
                )
            if each.name == "limits":
                found = limit_option(found)
            else:
                found = click.option(
                    each.option, each.name, help=each.help, multiple=each.multiple, type=each.type, metavar=each.metavar
                )(found)
        return found  # type: ignore[no-any-return]

    return add


def names_of(options: Sequence[SettingOption]) -> str:
    """Return the options for a sentence that says what to give."""
    return ", ".join(f"{each.option}, {each.removing}" for each in options)
