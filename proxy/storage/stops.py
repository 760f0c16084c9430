"""Stops in the ledger: those that hold, through every start. What has ended is in the audit trail alone."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from proxy.config.on_spent import A_MINUTE_MAX
from proxy.core.stop_effect import EFFECTS, StopEffect
from proxy.policy.stop import KINDS, Stop
from proxy.storage.audit import Actor
from proxy.storage.users import MissingError, UserError

REASON_CHARS_MAX = 500
SUBJECT_CHARS_MAX = 512
_ID = re.compile(r"stop_[0-9a-f]{12}")


class StopReader(Protocol):
    """What is asked of stops."""

    def list_stops(self) -> list[Stop]:
        """Return all that are stored, the oldest first; the time of some may be over."""
        ...


class StopStore(StopReader, Protocol):
    """What changes stops; who did it, and when, goes to the audit trail."""

    def add_stop(self, now_ms: int, actor: Actor, stop: Stop) -> Stop:
        """Store a stop; nothing is changed where it is stored already."""
        ...

    def end_stop(self, now_ms: int, actor: Actor, id_: str) -> Stop:
        """Remove a stop, by resume or as its time is over; raises MissingError."""
        ...


def read_stop(fields: Mapping[str, Any], now_ms: int, actor: Actor) -> Stop:
    """Return the stop that the fields of a change describe; raises UserError."""
    kind, subject, reason = fields.get("kind"), fields.get("subject") or "", fields.get("reason")
    id_, until_ms, cut = fields.get("id"), fields.get("until_ms"), fields.get("cut", False)
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise UserError("id: stop_ and twelve hexadecimal digits are needed.")
    if kind not in KINDS:
        raise UserError(f"kind: one of {', '.join(KINDS)} is needed.")
    if not isinstance(subject, str) or len(subject) > SUBJECT_CHARS_MAX or bool(subject) is (kind == "all"):
        raise UserError("subject: a name is needed, and none for kind all.", "subject")
    if not isinstance(reason, str | None) or len(reason or "") > REASON_CHARS_MAX:
        raise UserError(f"reason: a text of at most {REASON_CHARS_MAX} characters is needed.")
    if type(until_ms) not in (int, type(None)) or (until_ms is not None and until_ms <= now_ms):
        raise UserError("until_ms: a time to come is needed, in milliseconds since 1970.")
    if not isinstance(cut, bool):
        raise UserError("cut: true or false is needed.")
    effect, rule = _effect(fields), fields.get("rule")
    if cut and effect.name != "stop":
        raise UserError(f"cut: it goes with effect stop; {effect.name} lets requests go on.", "cut")
    if effect.preset and (kind, subject) == ("preset", effect.preset):
        raise UserError("preset: requests for a preset cannot go by the same one instead.", "preset")
    if not isinstance(rule, str | None):
        raise UserError("rule: the name of an alert rule is needed, or none.")
    made = Stop(id_, kind, subject, reason or None, cut, actor.name, actor.source, now_ms, until_ms)
    return replace(made, effect=effect.name, preset=effect.preset, a_minute=effect.a_minute, rule=rule)


def _effect(fields: Mapping[str, Any]) -> StopEffect:
    """Return what becomes of the requests, from the fields of a change; raises UserError."""
    name, preset, a_minute = fields.get("effect") or "stop", fields.get("preset") or "", fields.get("a_minute") or 0
    if name not in EFFECTS:
        raise UserError(f"effect: one of {', '.join(EFFECTS)} is needed.", "effect")
    if not isinstance(preset, str) or bool(preset) is not (name == "downgrade"):
        raise UserError("preset: a preset is needed for effect downgrade, and none for another.", "preset")
    is_rate = type(a_minute) is int and 1 <= a_minute <= A_MINUTE_MAX
    if not (is_rate if name == "slow" else a_minute == 0):
        text = f"1 to {A_MINUTE_MAX} requests a minute are needed for effect slow, and none for another."
        raise UserError(f"a_minute: {text}", "a_minute")
    return StopEffect(name, preset, a_minute)


def no_stop(id_: str) -> MissingError:
    """Return the error for a stop that does not hold."""
    return MissingError(f"There is no stop {id_!r}. See: tollkeeper stops")
