"""What a rule with ``action: stop`` stops: whom, or what, it has fired for."""

from proxy.policy.alerts.measures import AlertReading
from proxy.policy.stop import StopKind


def stopped_by(watch: str, reading: AlertReading) -> tuple[StopKind, str] | None:
    """Return kind and subject of the stop; None for a subject that cannot be stopped, such as a use case."""
    if watch == "repeats":
        return "token", reading.subject.rpartition("/")[2]
    scope, _, name = reading.scope.partition(":")
    if scope == "all":
        return "all", ""
    if scope == "user" and name:
        return "user", name
    return ("group", name) if scope == "group" and name else None
