"""The options that name what is stopped: one of them for each command."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

_SELECTORS: Mapping[str, tuple[str, str]] = {  # kind -> metavar, help
    "user": ("NAME", "All requests of a user, an end user too."),
    "group": ("NAME", "All requests of a group, and of groups within it."),
    "token": ("ID", "All requests with a token."),
    "preset": ("NAME", "Requests for a preset."),
    "model": ("PATTERN", 'A model, or several: "openai/*". A route goes on without it.'),
    "provider": ("NAME", "A provider. A route goes on without it."),
}


class Selector(NamedTuple):
    """What is meant: kind and subject as in the API."""

    kind: str
    subject: str

    @property
    def what(self) -> str:
        """Return it as a text."""
        return "everything" if self.kind == "all" else f'{self.kind} "{self.subject}"'


def effect_text(stop: Mapping[str, Any]) -> str:
    """Return what a stop of the API does to requests: stop, slow: 6/minute, downgrade: cheap."""
    from proxy.core.stop_effect import StopEffect  # noqa: PLC0415 - keeps --help quick

    return StopEffect(stop["effect"], stop["preset"] or "", stop["a_minute"] or 0).text


def selector_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets them by the names of the kinds; ``all`` as is_all."""
    for kind, (metavar, text) in reversed(tuple(_SELECTORS.items())):
        command = click.option(f"--{kind}", metavar=metavar, help=text)(command)
    return click.option("--all", "is_all", is_flag=True, help="Everything: all requests of everybody.")(command)


def selector_of(named: Mapping[str, Any]) -> Selector | None:
    """Return what the options name; None where none is given. Raises click.UsageError for several."""
    found = [Selector(kind, value) for kind, value in named.items() if kind in _SELECTORS and value is not None]
    if named.get("is_all"):
        found.append(Selector("all", ""))
    if len(found) > 1:
        raise click.UsageError("Give one of --user, --group, --token, --preset, --model, --provider, --all at a time.")
    return found[0] if found else None
