"""Whom, or what, a rule with an action acts on when it fires."""

import re

from proxy.core.alert_kinds import AlertKind
from proxy.policy.alerts.measures import AlertReading
from proxy.policy.stop import StopKind

_MAGIC = re.compile(r"([*?[])")


def acted_on(kind: AlertKind, reading: AlertReading) -> tuple[StopKind, str] | None:
    """Return kind and subject of the stop; None for a subject that cannot be stopped, such as a use case."""
    if kind.acts_on == "token":
        return "token", reading.subject.rpartition("/")[2]
    if kind.acts_on == "model":
        return "model", _MAGIC.sub(r"[\1]", reading.subject)  # a name, and no pattern
    if kind.acts_on == "provider":
        return None if reading.scope == "all" else ("provider", reading.subject)
    scope, _, name = reading.scope.partition(":")
    if scope == "all":
        return "all", ""
    if scope == "user" and name:
        return "user", name
    return ("group", name) if scope == "group" and name else None
