"""Keep secrets out of texts about the configuration: known ones and whatever looks like one."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from proxy.config.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode
from proxy.core.close_name import close_name

MASK = "***"
_NAMES = (
    "api_key",
    "management_key",
    "provisioning_key",
    "admin_token",
    "authorization",
    "password",
    "secret",
)
_SENSITIVE = re.compile(r"(?i)key|secret|passw|auth|cred|headers|(?:^|[_-])token(?:$|[_-])|^url$")  # of a webhook
_FILE = re.compile(r"(?i)_file$")
# name: value, also inside { }; a value in quotes ends with its quote
_PAIR = re.compile(
    r"""(?P<name>[A-Za-z0-9_.-]+)(?P<sep>["']?\s*[:=]\s*|\s+)(?P<value>"[^"]*"?|'[^']*'?|[^\s,}\]#][^\s,}\]]*)"""
)
_LOOKS_SECRET = re.compile(r"\b(?:sk|tk|pk|rk|gh[a-z]|xox[a-z])[-_][A-Za-z0-9_-]{6,}|[A-Za-z0-9+_=-]{40,}")
_USERINFO = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_LONG_CHARS = 16  # two secrets hardly ever end in the same ones
_MIN_CHARS = 5  # a shorter known secret would blot out ordinary words; its own line is masked by its name


def is_sensitive(name: object) -> bool:
    """Return whether the value of a setting with this name, misspelt or not, must never be shown."""
    if not isinstance(name, str) or _FILE.search(name):
        return False
    return _SENSITIVE.search(name) is not None or close_name(name.lower(), _NAMES, 0.75) is not None


def secrets_in(node: Node | None, *, sensitive: bool = False) -> Iterator[str]:
    """Yield the texts at sensitive names and at any depth below them."""
    if isinstance(node, ScalarNode):
        if sensitive:
            yield node.text
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from secrets_in(item, sensitive=sensitive)
    elif isinstance(node, MappingNode):
        for name, entry in node.entries.items():
            if name == "keys" and not sensitive:
                yield from _secrets_of_keys(entry.node)
            else:
                yield from secrets_in(entry.node, sensitive=sensitive or is_sensitive(name))


def _secrets_of_keys(node: Node | None) -> Iterator[str]:
    """Yield the secrets among a provider's keys: not their names and weights, but any text in place of a block."""
    for item in node.items if isinstance(node, SequenceNode) else (node,):
        yield from secrets_in(item, sensitive=isinstance(item, ScalarNode))


def mask(text: str, known: Iterable[str]) -> str:
    """Return the text with every known secret, and whatever looks like one, masked."""
    for secret in _worth_masking(known):
        text = text.replace(secret, MASK)
    text = _USERINFO.sub(MASK, text)
    return _LOOKS_SECRET.sub(MASK, text)


def mask_line(line: str, known: Iterable[str]) -> str:
    """Mask a line of the file for printing, each character by one, so that a caret below still points right.

    A reference such as ${KEY} is not a secret and stays.
    """
    line = _PAIR.sub(_pair, line)
    for secret in _worth_masking(known):
        line = line.replace(secret, "*" * len(secret))
    line = _USERINFO.sub(_stars, line)
    return _LOOKS_SECRET.sub(_stars, line)


def redacted(text: str, known: Iterable[str]) -> str:
    """Return a whole file with secrets masked, those that go over several lines too; its lines stay where they are."""
    by_end: dict[str, list[str]] = {}
    for part in _worth_masking({part.strip() for secret in known for part in secret.splitlines()}):
        by_end.setdefault(part[-_end_chars(part) :], []).append(part)
    lengths = sorted({len(end) for end in by_end})
    return "\n".join(mask_line(line, _ended_in(line, by_end, lengths)) for line in text.split("\n"))


def _ended_in(line: str, by_end: Mapping[str, Sequence[str]], lengths: Iterable[int]) -> list[str]:
    """Return the secrets whose last characters are in a line: a file of thousands of users has as many of both."""
    ends = (line[at : at + chars] for chars in lengths for at in range(len(line) - chars + 1))
    return [secret for end in ends for secret in by_end.get(end, ())]


def _end_chars(secret: str) -> int:
    return _LONG_CHARS if len(secret) >= _LONG_CHARS else _MIN_CHARS


def _worth_masking(known: Iterable[str]) -> list[str]:
    worth = {secret for secret in known if len(secret) >= _MIN_CHARS and "${" not in secret}
    return sorted(worth, key=len, reverse=True)  # a secret that holds another goes first


def _stars(match: re.Match[str]) -> str:
    return "*" * len(match[0])


def _pair(match: re.Match[str]) -> str:
    value = match["value"]
    if not is_sensitive(match["name"]) or value.strip("\"'").startswith("${"):
        return match[0]
    return f"{match['name']}{match['sep']}{'*' * len(value)}"
