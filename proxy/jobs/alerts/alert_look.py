"""One look at all rules: what each came to, what is to be told, and what is to be stored of it."""

from collections.abc import Collection, Mapping, Sequence
from zoneinfo import ZoneInfo

from proxy.config.alerts import LOG, AlertRule, Alerts
from proxy.pipeline.stops import NewStop
from proxy.policy.alerts.alert_action import acted_on
from proxy.policy.alerts.alert_message import AlertMessage, alert_line
from proxy.policy.alerts.alert_state import AT_REST, AlertState, Thresholds, Told, advance, thresholds
from proxy.policy.alerts.measures import AlertReading
from proxy.policy.alerts.quiet_hours import QuietHours
from proxy.policy.quota.window import window_at
from proxy.policy.stop import StopKind
from proxy.storage.alerts import AlertNote, AlertRows, StateNote
from proxy.storage.stops import REASON_CHARS_MAX

DAY_MS = 86_400_000
AlertPlace = tuple[str, str]  # rule and subject
Acting = tuple[str, StopKind, str]  # rule, and kind and subject of its stop


class AlertLook:
    """Holds readings against rules.

    states and alerts: what to store; stops: what to stop; acting: what a rule may go on to slow or downgrade, as it
    stands at its last threshold; pending: thresholds that must last a while.
    """

    def __init__(self, alerts: Alerts, rows: AlertRows, now_ms: int, zone: ZoneInfo) -> None:
        self._rows = rows
        self._now_ms = now_ms
        self._zone = zone
        self._quiet_end_ms = quiet_end_ms(alerts, zone, now_ms)
        self._by_rule: dict[str, list[str]] = {}
        for rule, subject in rows.states:
            self._by_rule.setdefault(rule, []).append(subject)
        self.states: list[StateNote] = []
        self.alerts: list[AlertNote] = []
        self.stops: list[NewStop] = []
        self.acting: set[Acting] = set()
        self.held: set[str] = set()  # rules that were held against readings at all
        self.pending: dict[AlertPlace, int] = {}

    def hold(
        self, name: str, rule: AlertRule, readings: Sequence[AlertReading], pending: Mapping[AlertPlace, int]
    ) -> None:
        """Hold a rule against all that was measured; a subject that is no longer measured is at rest."""
        self.held.add(name)
        seen = {reading.subject for reading in readings}
        gone = [subject for subject in self._by_rule.get(name, ()) if subject not in seen]
        at_rest = 0.0 if not rule.kind.is_below else max(rule.levels) * 1000
        for reading in [*readings, *(AlertReading(subject, subject, at_rest) for subject in gone)]:
            self._hold_one(name, rule, reading, pending)

    def forget_others(self, rules: Collection[str]) -> None:
        """Forget where rules stand that are no longer watched."""
        self.states += [StateNote(*place, None) for place in self._rows.states if place[0] not in rules]

    def _hold_one(self, name: str, rule: AlertRule, reading: AlertReading, pending: Mapping[AlertPlace, int]) -> None:
        place, kind = (name, reading.subject), rule.kind
        stored = self._rows.states.get(place)
        of = f"{kind.name} {' '.join(f'{at:g}' for at in rule.levels)}"
        known = stored if stored is not None and stored.of == of else AT_REST._replace(of=of)
        before = known._replace(pending_ms=pending.get(place))
        limits = thresholds(
            rule.levels,
            margin_percent=kind.margin_percent,
            for_ms=round(rule.for_s * 1000),
            is_below=kind.is_below,
            is_windowed=reading.window_ms > 0,
        )
        after, told = advance(before, reading.value, self._window_ms(rule, reading), limits, self._now_ms)
        if after.pending_ms is not None:
            self.pending[place] = after.pending_ms
        self._store(place, stored, after._replace(pending_ms=None))
        found = None if rule.effect is None else acted_on(kind, reading)
        if found is not None and after.level == len(limits.at):
            self.acting.add((name, *found))
        if told == "fired" or (told == "recovered" and kind.recovered):
            note = self._note(name, rule, reading, told, (before, after), limits)
            self.alerts.append(note)
            if told == "fired" and found is not None and after.peak == len(limits.at):
                self._act(rule, found, note)

    def _act(self, rule: AlertRule, found: tuple[StopKind, str], note: AlertNote) -> None:
        assert rule.effect is not None
        until_ms = None if rule.stop_for_s is None else self._now_ms + round(rule.stop_for_s * 1000)
        name = note.message.rule
        reason = f"alert {name}: {note.message.line}"[:REASON_CHARS_MAX]
        self.stops.append(NewStop(*found, reason=reason, until_ms=until_ms, effect=rule.effect, rule=name))

    def _window_ms(self, rule: AlertRule, reading: AlertReading) -> int:
        return reading.window_ms or window_at(rule.once_per, self._zone, self._now_ms).start_ms

    def _store(self, place: AlertPlace, stored: AlertState | None, after: AlertState) -> None:
        """Keep a state that differs from the stored one; one at rest, with nothing told in its window, needs no row."""
        if after.level == 0 and after.peak == 0 and not after.is_told:
            if stored is not None:
                self.states.append(StateNote(*place, None))
        elif after != stored:
            self.states.append(StateNote(*place, after))

    def _note(
        self,
        name: str,
        rule: AlertRule,
        reading: AlertReading,
        told: Told,
        states: tuple[AlertState, AlertState],
        limits: Thresholds,
    ) -> AlertNote:
        before, after = states
        level = after.peak if told == "fired" else max(before.level, 1)
        message = AlertMessage(
            told,
            name,
            rule.watch,
            reading.subject,
            self._now_ms,
            alert_line(rule.kind, told, reading.subject, reading.value),
            reading.detail,
            reading.value,
            limits.at[level - 1],
            rule.kind.unit,
            after.window_ms,
        )
        once_ms = after.window_ms if told == "fired" else before.fired_ms or 0
        threshold = f"{rule.watch} {limits.at[level - 1]:g}"
        due_ms = self._now_ms if rule.urgent or self._quiet_end_ms is None else self._quiet_end_ms
        destinations = tuple((one, self._now_ms if one == LOG else due_ms) for one in dict.fromkeys(rule.to))
        return AlertNote(message, threshold, once_ms, destinations)


def quiet_end_ms(alerts: Alerts, zone: ZoneInfo, now_ms: int) -> int | None:
    """Return when the quiet hours end that now_ms lies in; None outside of them."""
    quiet = alerts.quiet_hours
    if quiet is None:
        return None
    own = zone if quiet.timezone is None else ZoneInfo(quiet.timezone)
    return QuietHours(quiet.starts, quiet.ends, own).end_ms(now_ms)
