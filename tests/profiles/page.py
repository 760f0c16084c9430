"""docs/reference/providers.md from the profiles and from what the matrix expects of them. Pure."""

from collections.abc import Iterator

import yaml

from proxy.core.money import pusd_to_usd
from proxy.simulator.profiles.profile import ALSO, KINDS, FailureKind, Profile
from proxy.simulator.profiles.table import PROFILES

from .cells import WORKS, Cell, Column, expected

_HEAD = """\
# Providers

What a user of Tollkeeper gets from each server, on default settings, and what to write for it. The page is made
from the simulator's profiles of these servers ([simulator.md](../developers/simulator.md#profiles)) and from what
their tests expect (`python -m tests.profiles --write`); each cell is played in every run of the tests
(`tests/profiles`), against servers that speak as these do, and the ledger is compared with their own books.

## What comes of what

"""
_LEGEND = """
`200` is an answer as the provider wrote it. **hang-up**: the client leaves before the answer, in the middle of a
stream, or before its usage, and the row is exact all the same: the answer is read to its end, or looked up. **own
maximum**: the user has limits, so that the proxy writes a maximum of tokens into the request, by the name that the
model takes. **preset's fields**: `temperature`, `seed`, `stop` and `max_tokens` of a preset; what the server
refuses is left out. **a bad key, a good one**: the first of two keys is refused, or its account is empty. **cost
exact?**: the ledger has the bill to the pico-USD, for tokens of every class that the provider bills, cached and
written to a cache, inside the output or beside it; plain answers and streams alike. **flagged**: nobody can know
the cost, so that what was set aside is booked, never less than the bill, and the row says so
([ledger.md](../concepts/ledger.md#flags)): an answer without usage, one that the provider ends by an error, or
whose connection breaks off (the stream then ends with an error event), or no answer at all. **also**: the same
holds at these paths, plain and streamed, to the pico-USD.

## Failures

A number is the status that the user sees where there is no other target; `→` says that a route with another target
goes on there, so that the user gets an answer: `200`. An empty cell is a failure that the server has no words for.

"""
_OWN = """
`502` of a refused key is `upstream_auth`, `402` of an empty account `upstream_no_credits`: the user's own token and
budget are fine ([errors.md](errors.md#the-provider)). Other failures in JSON are passed on as they came, with their
status; those that are no JSON object become `upstream_error` under the same status. Content that one provider refuses
is carried to the next unless `routing.refused_content` says otherwise ([routes.md](../concepts/routes.md)). After
`502`, `504` and the like nobody can say whether the answer was billed: what was set aside is booked, flagged.

## What to write

Names are yours to choose; prices here are examples. A server that reports no prices needs them, or what is used of it
is booked at no cost.
"""


_SHOWN = {
    "plain": ("plain",),
    "stream": ("stream", "no_done"),
    "tools": ("tools", "tools_stream"),
    "hang_up": ("hang_up_early", "hang_up", "hang_up_late"),
    "maximum": ("maximum", "maximum_stream"),
    "preset": ("preset", "preset_stream"),
    "second_key": ("second_key", "second_account"),
    "cost": ("cost", "cost_stream"),
    "no_usage": ("no_usage", "no_usage_stream"),
    "breaks_off": ("breaks_off",),
    "cut": ("cut",),
    "no_answer": ("no_answer",),
}
"""The columns of the table, and the cells of the matrix that each of them stands for."""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, *_works(), _LEGEND, *_failures(), _OWN]
    parts += [section(profile) for profile in PROFILES.values()]
    return "".join(parts)


def _works() -> Iterator[str]:
    yield "| provider | " + " | ".join(WORKS[work].title for work in _SHOWN) + " | also |\n"
    yield "|---" * (len(_SHOWN) + 2) + "|\n"
    for profile in PROFILES.values():
        also = ", ".join(f"`/{api}`" for api in ALSO if api in profile.more)
        yield f"| {profile.title} | " + " | ".join(_work(profile, work) for work in _SHOWN) + f" | {also} |\n"


def _work(profile: Profile, work: str) -> str:
    both = [expected(Cell(profile, Column(name))) for name in _SHOWN[work]]
    exact = all(want.exact for want in both)
    if work == "cost":
        return "yes" if exact else "no: flagged"
    if work == "hang_up":
        return "exact" if exact else "flagged"
    return f"{both[0].status}{'' if exact else ', flagged'}"


def _failures() -> Iterator[str]:
    yield "| provider | " + " | ".join(KINDS.values()) + " |\n"
    yield "|---" * (len(KINDS) + 1) + "|\n"
    for profile in PROFILES.values():
        yield f"| {profile.title} | " + " | ".join(_failure(profile, kind) for kind in KINDS) + " |\n"


def _failure(profile: Profile, kind: FailureKind) -> str:
    if kind not in profile.failures:
        return ""
    alone, spare = (expected(Cell(profile, Column(None, kind, spare))) for spare in (False, True))
    return f"{alone.status} →" if spare.by_spare else str(alone.status)


def section(profile: Profile) -> str:
    """Return the part on one server: what to write for it, and what an operator should know."""
    notes = "".join(f"- {note}\n" for note in profile.notes)
    return f"\n### {profile.title}\n\n```yaml\n{snippet(profile)}```\n\n{notes}"


def snippet(profile: Profile) -> str:
    """Return the provider's block of a configuration, as YAML."""
    block: dict[str, object] = {}
    if profile.kind == "openrouter":
        block["kind"] = "openrouter"
    block["base_url"] = profile.address
    if profile.needs_key:
        block["api_key"] = f"${{{key_variable(profile)}}}"
    if profile.kind == "openai":
        block["prices"] = {row.id: _prices(profile) for row in profile.models}
    return yaml.safe_dump({"providers": {profile.name: block}}, sort_keys=False, width=200)


def key_variable(profile: Profile) -> str:
    """Return the name of the environment variable that holds the key in the snippet."""
    return f"{profile.name.upper().replace('-', '_')}_API_KEY"


def _prices(profile: Profile) -> dict[str, float | int]:
    price = profile.models[0].price
    fields = {
        "input": price.prompt,
        "output": price.completion,
        "cached_input": price.cache_read,
        "cache_write": price.cache_write,
        "request": price.request // 10**6 or None,
    }
    # atto-USD a token is the same number as pico-USD a million tokens
    return {name: _number(pusd_to_usd(amount)) for name, amount in fields.items() if amount is not None}


def _number(usd: str) -> float | int:
    return float(usd) if "." in usd else int(usd)
