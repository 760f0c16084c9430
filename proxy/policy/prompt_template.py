"""Variables in a preset's system prompt: plain replacement of names, no code. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

from msgspec import Struct

# {{name}} before {name}: of the former the inner braces must not be taken for a variable.
_PLACE = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")

Problem = Literal["missing", "not_allowed", "wrong_type"]


class Variable(Struct, frozen=True):
    """The allowed values of a variable. default None: it is required. values None: any text.

    A mapping of values gives the text that stands in the prompt for each allowed value, the default's as well.
    """

    default: str | None = None
    values: Collection[str] | Mapping[str, str] | None = None


class VariableError(ValueError):
    """A prompt cannot be filled in, by the caller's mistake. Its text names the variable and quotes no value."""

    def __init__(self, name: str, problem: Problem, message: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.problem: Problem = problem
        self.allowed = allowed


def names_in(text: str) -> frozenset[str]:
    """Return the names of the variables in a text."""
    return frozenset(match[2] for match in _PLACE.finditer(text) if match[2])


def fill(text: str, variables: Mapping[str, Variable], given: Mapping[str, Any]) -> str:
    """Return the text with values for {name}; {{name}} becomes {name}, and any other brace stays.

    A value comes from given (the request's metadata), else from the variable's default; null counts as not given.
    Texts, numbers and booleans (as true and false) are values. A name that variables do not have takes what is
    given. What a value holds is never read as a template. Raises VariableError.
    """

    def put(match: re.Match[str]) -> str:
        kept, name = match[1], match[2]
        return f"{{{kept}}}" if kept else _value(name, variables.get(name) or Variable(), given.get(name))

    return _PLACE.sub(put, text)


def _value(name: str, variable: Variable, given: object) -> str:
    text = variable.default if given is None else _text(name, given)
    if text is None:
        raise VariableError(
            name,
            "missing",
            f"metadata.{name} is missing: the preset's prompt needs it.{_one_of(variable)}",
            _allowed(variable),
        )
    values = variable.values
    if values is None:
        return text
    if text not in values:
        raise VariableError(
            name,
            "not_allowed",
            f"metadata.{name} has a value that the preset does not know.{_one_of(variable)}",
            _allowed(variable),
        )
    return values[text] if isinstance(values, Mapping) else text


def _text(name: str, given: object) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float):
        return str(given)
    raise VariableError(name, "wrong_type", f"metadata.{name} must be a string, a number, true or false.")


def _allowed(variable: Variable) -> tuple[str, ...]:
    return tuple(variable.values or ())


def _one_of(variable: Variable) -> str:
    return f" It is one of: {', '.join(_allowed(variable))}." if variable.values else ""
