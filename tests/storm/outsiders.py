"""What happens on the account beside the proxy's requests: other programs, other keys, lost rows, changed charges."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from .draw import OPENROUTER_PROVIDERS
from .processes import PROVIDER_KEYS, SimulatorProcess
from .views import Books, LedgerView

OTHER_KEY = "sk-or-v1-anotherkey00000000000000000000000000000000000000000000000000"
_OF_EACH = 3
_DEAR_PUSD = 40_000_000  # what is changed by a quarter stays far above a rounding


@dataclass(frozen=True, slots=True)
class Outsiders:
    """What the bill has that no row of the ledger can know.

    calls: the class of each call by its generation id. changed: the class of each request whose charge was changed
    after it had been told, by its session.
    """

    calls: dict[str, str]
    changed: dict[str, str]


def happen(simulator: SimulatorProcess, seed: int, books: Books, ledger: LedgerView) -> Outsiders:
    """Let all of it happen while the storm went on."""
    rng = Random(seed)
    calls = dict(_calls(rng, books))
    simulator.plant([fields for fields, _ in calls.values()])
    changed = dict(_changed(rng, books, ledger))
    for name, (_, id_, charged_pusd) in changed.items():
        assert books.by_session[name][id_]["charged_pusd"] != charged_pusd
        simulator.change_charge(id_, charged_pusd)
    return Outsiders(
        {id_: name for id_, (_, name) in calls.items()}, {session: name for session, (name, _, _) in changed.items()}
    )


def _calls(rng: Random, books: Books) -> Iterator[tuple[str, tuple[dict[str, Any], str]]]:
    moments = sorted(generation["created"] for generation in books.generations.values())
    numbers = count()
    for name, user_agent in (("outside_call", "curl/8.5"), ("lost_row", "tollkeeper/0.1"), ("other_key", "curl/8.5")):
        for key in [OTHER_KEY] if name == "other_key" else [PROVIDER_KEYS[each] for each in OPENROUTER_PROVIDERS]:
            for _ in range(_OF_EACH):
                created = rng.choice(moments)
                id_ = f"gen-{created}-outsider{next(numbers):012}"
                fields = {
                    "id": id_,
                    "created": created,
                    "key": key,
                    "charged_pusd": rng.randint(1, 10**12),
                    "user_agent": user_agent,
                }
                yield id_, (fields, name)


def _changed(rng: Random, books: Books, ledger: LedgerView) -> Iterator[tuple[str, tuple[str, str, int]]]:
    """Draw requests whose cost was told and booked, and what is charged for them after all."""
    told = []
    for row in ledger.rows:
        generations = books.by_session.get(str(row["session_id"]), {})
        if row["cost_source"] != "provider" or len(generations) != 1 or row["provider"] not in OPENROUTER_PROVIDERS:
            continue
        ((id_, generation),) = generations.items()
        if generation["charged_pusd"] == row["cost_pusd"] > _DEAR_PUSD and not generation["upstream_pusd"]:
            told.append((str(row["session_id"]), id_, generation["charged_pusd"]))
    for n, (session, id_, charged_pusd) in enumerate(rng.sample(told, min(len(told), 2 * _OF_EACH))):
        moved_pusd = charged_pusd // 4
        name, sign = ("raised", 1) if n % 2 else ("refunded", -1)
        yield session, (name, id_, charged_pusd + sign * moved_pusd)
