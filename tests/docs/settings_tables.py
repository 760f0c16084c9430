"""The tables of docs/reference/configuration.md, made from the descriptions of the settings. Pure.

A table stands between two comments. The first names the block, and the settings where not all of it belong there:
``<!-- settings: server -->`` or ``<!-- settings: providers.<name> = kind, base_url -->``.
"""

import re
from collections import Counter
from collections.abc import Iterable
from textwrap import fill
from typing import Any

from proxy.config.block import Block, BlockField
from proxy.config.provider import Timeouts
from proxy.config.schema import Defaults
from proxy.config.show import _plain, schema_blocks

BLOCKS = schema_blocks()
# Blocks whose settings others have too; there one line leads to this table.
_SHARED: dict[type[Block], tuple[str, str]] = {
    Timeouts: ("providers.<name>.timeouts.<model>", "[time-outs](#time-outs)"),
    Defaults: ("defaults", "[`defaults`](#limits-defaults-groups)"),
}
_TABLE = re.compile(r"(<!-- settings: ([^=\n]*?)(?: = ([^\n]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def written(page: str) -> str:
    """Return the page with every table as the settings are now; ValueError where a setting is in none, or in two."""
    placed: Counter[tuple[str, str]] = Counter()

    def table(marker: re.Match[str]) -> str:
        prefix = marker[2].strip("`")
        block = BLOCKS["" if prefix == "top level" else prefix]
        names = [name.strip() for name in marker[3].split(",")] if marker[3] else list(_own(prefix, block))
        placed.update((prefix, name) for name in names)
        return f"{marker[1]}{_text(prefix, block, names, whole=not marker[3])}\n{marker[4]}"

    text = _TABLE.sub(table, page)
    wanted = {(prefix or "top level", name) for prefix, block in BLOCKS.items() for name in _own(prefix, block)}
    if placed.keys() != wanted or max(placed.values()) > 1:
        twice = {place for place, times in placed.items() if times > 1}
        raise ValueError(
            f"in no table: {sorted(wanted - placed.keys())}; unknown: {sorted(placed.keys() - wanted)}; twice: {twice}"
        )
    return text


def _own(prefix: str, block: type[Block]) -> Iterable[str]:
    """Yield the settings of a block that need a row: neither blocks with a table of their own, nor shared ones."""
    path = "" if prefix in ("", "top level") else f"{prefix}."
    for name, field in block.fields.items():
        has_table = any(re.fullmatch(rf"{re.escape(path + name)}(\[\]|\.<\w+>)?", other) for other in BLOCKS)
        if not has_table and _home(prefix, name, field) is None:
            yield name


def _home(prefix: str, name: str, field: BlockField) -> str | None:
    """Return the link to the table that has a shared setting, None where it is this block's own."""
    for block, (home, link) in _SHARED.items():
        shared = block.fields.get(name)
        if shared is not None and prefix != home and _cells(shared) == _cells(field):
            return link
    return None


def _text(prefix: str, block: type[Block], names: list[str], *, whole: bool) -> str:
    head = "Setting" if prefix == "top level" else f"In `{prefix}`"
    lines = [f"| {head} | Default | What it does |", "|---|---|---|"] if names else []
    lines += [f"| `{name}` | {' | '.join(_cells(block.fields[name]))} |" for name in names]
    shared: dict[str, list[str]] = {}
    for name, field in block.fields.items():
        link = _home(prefix, name, field) if whole else None
        if link:
            shared.setdefault(link, []).append(f"`{name}`")
    lines += ["\n" + fill(f"Also {', '.join(found)}, as in {link}.", 118) for link, found in shared.items()]
    return "\n".join(lines)


def _cells(field: BlockField) -> tuple[str, str]:
    why = f" *{field.why}*" if field.why else ""
    restart = " Needs a restart." if field.restart else ""
    default = "required" if field.is_required() else _default(field.made_default())
    return default, f"{field.description}{restart}{why}".replace("|", "\\|")


def _default(value: Any) -> str:
    plain = _plain(value)
    if plain in (None, [], {}) or isinstance(value, Block):
        return "none"
    if isinstance(plain, bool):
        return f"`{str(plain).lower()}`"
    if isinstance(plain, list):
        return ", ".join(f"`{item}`" for item in plain)
    return f"`{plain}`"
