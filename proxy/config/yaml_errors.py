"""YAML's syntax mistakes in words that tell what to write.

libyaml names the place where it gave up, which is often a line after the mistake, and the token that it
wanted. Each rule below recognises one mistake that people make from both and from the line itself.
"""

import re
from collections.abc import Callable

import yaml
from msgspec import Struct

from proxy.config.diagnostic import Diagnostic, Mark

_MISSING_SPACE = re.compile(r"\s*(?:- )?([A-Za-z_][A-Za-z0-9_.-]*):([^\s:/].*)")
_VARIABLE = re.compile(r"\$\{[^}]*\}?")
_KEY_LINE = re.compile(r"(\s*)(?:- )?[^\s#][^#]*:(\s|$)")


_BREAK = "[\n\x85\u2028\u2029]"  # what YAML counts as the end of a line; CR is gone by then


class _Trouble(Struct, frozen=True):
    """What the parser says: problem at a place, while it read something that had begun at another."""

    lines: list[str]
    problem: str
    at: Mark
    begun: Mark | None


def split_lines(text: str) -> list[str]:
    return re.split(_BREAK, text)


def explain(text: str, error: yaml.YAMLError) -> Diagnostic:
    """Return the place and the advice for what the parser refused."""
    if isinstance(error, yaml.reader.ReaderError):
        return _control_character(text)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Diagnostic("this is not YAML.")
    at = Mark(error.problem_mark.line, error.problem_mark.column)
    start = error.context_mark
    begun = Mark(start.line, start.column) if start is not None else None
    trouble = _Trouble(split_lines(text), error.problem or "", at, begun)
    for rule in _RULES:
        mistake = rule(trouble)
        if mistake is not None:
            return mistake
    return Diagnostic(f"this is not YAML: {trouble.problem}.", _inside(trouble.lines, at))


def missing_space(line: str) -> tuple[str, int] | None:
    """Return the name in ``name:value`` and the column of its colon, or None."""
    match = _MISSING_SPACE.fullmatch(line)
    return (match[1], match.end(1)) if match is not None else None


def _line(lines: list[str], number: int) -> str:
    return lines[number] if 0 <= number < len(lines) else ""


def _inside(lines: list[str], at: Mark) -> Mark:
    """Return a place, moved from behind the last line to the end of the last line that is not blank."""
    if _line(lines, at.line).strip():
        return at
    number = min(at.line, len(lines) - 1)
    while number > 0 and not lines[number].strip():
        number -= 1
    return Mark(number, len(lines[number].rstrip()))


def _control_character(text: str) -> Diagnostic:
    for number, line in enumerate(split_lines(text)):
        for column, character in enumerate(line):
            if not character.isprintable() and character not in "\t\r\x85\ufeff":
                return Diagnostic(f"a character U+{ord(character):04X} that YAML does not allow.", Mark(number, column))
    return Diagnostic("a character that YAML does not allow.")


def _tab(it: _Trouble) -> Diagnostic | None:
    line = _line(it.lines, it.at.line)
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent and it.at.column <= len(indent):
        return Diagnostic("this line is indented with a tab. Use spaces.", Mark(it.at.line, indent.index("\t")))
    return None


def _variable_in_braces(it: _Trouble) -> Diagnostic | None:
    if it.begun is None or "did not find expected ',' or '}'" not in it.problem:
        return None
    line = _line(it.lines, it.at.line)
    for match in _VARIABLE.finditer(line):
        if match.start() <= it.at.column <= match.end():
            name = match[0]
            return Diagnostic(f'put quotes around "{name}" inside {{ }}.', Mark(it.at.line, match.start()))
    return None


def _unclosed(it: _Trouble) -> Diagnostic | None:
    if it.begun is None:
        return None
    if "unexpected end of stream" in it.problem or "unexpected document indicator" in it.problem:
        return Diagnostic("this quote is not closed.", it.begun)
    for bracket, wanted in (("{", "'}'"), ("[", "']'")):
        opened = _line(it.lines, it.begun.line)[it.begun.column : it.begun.column + 1] == bracket
        if opened and wanted in it.problem and it.at.line > it.begun.line:
            return Diagnostic(f"this {bracket} is not closed.", it.begun)
    if "did not find expected node content" in it.problem:
        closing = _line(it.lines, it.at.line)[it.at.column : it.at.column + 1]
        if closing in ("]", "}"):
            return Diagnostic(f"this {closing} closes nothing that is open.", it.at)
        return Diagnostic("a bracket before the end of the file is not closed.", _inside(it.lines, it.at))
    return None


def _starts_with_sign(it: _Trouble) -> Diagnostic | None:
    if "did not find expected alphabetic or numeric character" in it.problem and it.begun is not None:
        sign = _line(it.lines, it.begun.line)[it.begun.column : it.begun.column + 1]
        return Diagnostic(f'put quotes around text that begins with {sign}, like "{sign}".', it.begun)
    if "cannot start any token" in it.problem:
        sign = _line(it.lines, it.at.line)[it.at.column : it.at.column + 1]
        return Diagnostic(f"put quotes around text that begins with {sign}.", it.at)
    return None


def _no_space_after_colon(it: _Trouble) -> Diagnostic | None:
    if "mapping values are not allowed" not in it.problem and "could not find expected ':'" not in it.problem:
        return None
    # The text that should have been a key is swallowed by the value that follows, so it may stand
    # above.
    first = it.begun.line if it.begun is not None else it.at.line - 1
    for number in range(it.at.line, max(first, 0) - 1, -1):
        found = missing_space(_line(it.lines, number))
        if found is not None:
            return Diagnostic(f'a space is missing after "{found[0]}:".', Mark(number, found[1]))
    return None


def _no_colon(it: _Trouble) -> Diagnostic | None:
    if "could not find expected ':'" in it.problem and it.begun is not None:
        return Diagnostic('a ":" is missing: this line has no "name: value".', it.begun)
    return None


def _colon_in_value(it: _Trouble) -> Diagnostic | None:
    if "mapping values are not allowed" not in it.problem:
        return None
    before = _line(it.lines, it.at.line)[: it.at.column]
    if ": " in before:
        return Diagnostic('put quotes around a value that holds ": ".', it.at)
    return None


def _indent(it: _Trouble) -> Diagnostic | None:
    wanted = (
        "did not find expected key",
        "mapping values are not allowed",
        "did not find expected '-' indicator",
    )
    if not any(word in it.problem for word in wanted):
        return None
    line = _line(it.lines, it.at.line)
    width = len(line) - len(line.lstrip(" "))
    above = _keys_above(it.lines, it.at.line, width)
    if it.begun is not None and "did not find expected key" in it.problem and it.begun.column != width:
        above = (it.begun.line, it.begun.column)  # the block that the parser was in
    if above is None:
        return None
    number, other = above
    text = f"this line is indented by {_spaces(width)}; the keys above it (line {number + 1}) by {other}."
    return Diagnostic(f"{text} Line them up.", Mark(it.at.line, width), above=number)


def _keys_above(lines: list[str], below: int, width: int) -> tuple[int, int] | None:
    """Find the line above whose indent comes closest to this one without being it."""
    best: tuple[int, int] | None = None
    for number in range(below - 1, max(below - 200, -1), -1):
        match = _KEY_LINE.match(lines[number])
        if match is None or lines[number].lstrip().startswith("#"):
            continue
        other = len(match[1])
        if other != width and (best is None or abs(other - width) < abs(best[1] - width)):
            best = (number, other)
        if other == 0:
            break
    return best


def _spaces(count: int) -> str:
    return f"{count} space" if count == 1 else f"{count} spaces"


_RULES: tuple[Callable[[_Trouble], Diagnostic | None], ...] = (
    _tab,
    _variable_in_braces,
    _unclosed,
    _starts_with_sign,
    _no_space_after_colon,
    _no_colon,
    _colon_in_value,
    _indent,
)
