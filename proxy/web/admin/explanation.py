"""One paragraph about one request: who asked for what, what its limits said, where it went, what it cost. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from proxy.core.limit_kinds import BY_NAME
from proxy.pipeline.admission.limit_errors import money
from proxy.policy.quota import Quota
from proxy.storage.adjustment import AdjustmentRow
from proxy.storage.meanings import COST_SOURCES, OF_THE_ANSWER, flag_meaning, outcome_meaning
from proxy.storage.request_reports import REFUSED, AttemptEntry, RequestEntry

_GONE_STATUS = 499
_EXACT = frozenset({"provider", "generation"})
_ORDINALS = ("First", "Then", "After that")
_LOST_BY_CRASH = "open"


class EarlierUse(NamedTuple):
    """What requests of the same window that began before one had come to, by today's books, of a limit of today."""

    quota: Quota
    used: int


def explain_request(
    entry: RequestEntry,
    attempts: Sequence[AttemptEntry],
    earlier: Sequence[EarlierUse],
    zone: ZoneInfo,
    late: Sequence[AdjustmentRow] = (),
) -> str:
    """Return the paragraph. earlier: of an admitted request, for limits of which that can be worked out.

    late: what its cost turned out to be after it had ended, in order.
    """
    sentences = [_asked(entry, zone)]
    if entry.state == REFUSED:
        sentences += _refusal(entry, zone)
    else:
        cost = [*_cost(entry), *_doubts(entry)] if not late else [*_late_cost(entry, late, zone), *_doubts(entry)]
        sentences += [*_admission(entry, earlier), *_attempts(attempts), _answer(entry), *cost]
    return " ".join(sentence for sentence in sentences if sentence)


def _asked(entry: RequestEntry, zone: ZoneInfo) -> str:
    if entry.more:
        whose = f"of {entry.user} " if entry.user else ""
        return (
            f"This is one of {entry.more + 1} refusals {whose}alike that came within about a second up to"
            f" {moment(entry.started_ms, zone)}{_from(entry)}: there were too many to keep each of them."
        )
    who = entry.user or "Somebody unknown"
    group = f" (group {entry.group_name})" if entry.group_name else ""
    what = _what(entry)
    token = f", with token {entry.token_id}" if entry.token_id else ""
    use_case = f", for the use case {entry.use_case}" if entry.use_case else ""
    return f"{who}{group} {what} on {moment(entry.started_ms, zone)}{_from(entry)}{token}{use_case}."


def _what(entry: RequestEntry) -> str:
    if entry.requested_model is None:
        return f"called /{entry.endpoint}"
    streamed = ", streamed" if entry.streamed else ""
    return f"asked for {entry.requested_model} ({entry.endpoint}{streamed})"


def _from(entry: RequestEntry) -> str:
    return f" from {entry.address}" if entry.address else ""


# Refused


def _refusal(entry: RequestEntry, zone: ZoneInfo) -> Iterable[str]:
    took = f" after {seconds(entry.duration_ms)}" if entry.duration_ms is not None and not entry.more else ""
    yield f"It was refused{took} with status {entry.status} ({entry.error}){_fault(entry)}."
    if entry.limit_json is not None:
        yield limit_sentence(orjson.loads(entry.limit_json), zone)
    if entry.reason is not None:
        yield f'The client was told: "{entry.reason}"'
    yield "Nothing was sent to a provider, and nothing was booked."


def _fault(entry: RequestEntry) -> str:
    words = {"ours": ", which is the proxy's fault", "provider": ", which is a provider's fault"}
    return words.get(entry.fault or "", "")


def limit_sentence(limit: Mapping[str, Any], zone: ZoneInfo) -> str:
    """Return what the limit that refused said, from the fields of core/limit_figures.py."""
    kind, window = limit["kind"], limit["window"]
    parts = [
        f"{_shown(limit, 'used')} of it were used" if kind != "cost" else f"{_shown(limit, 'used')} of it was spent"
    ]
    parts.append(f"{_shown(limit, 'reserved')} set aside by open requests")
    parts.append(f"{_shown(limit, 'needed')} needed")
    parts.append(f"{_shown(limit, 'remaining')} left")
    models = f" on {', '.join(limit['models'])}" if limit.get("models") else ""
    resets = ""
    if limit.get("resets_at"):
        resets_ms = int(datetime.fromisoformat(limit["resets_at"]).timestamp() * 1000)
        resets = f"; it resets on {moment(resets_ms, zone)}"
    fits = limit.get("affordable_max_tokens")
    affordable = f" An answer of at most {fits} tokens would have fit." if fits else ""
    name = _limit_name(limit["mode"], kind, window, _shown(limit, "limit"), limit["scope"])
    return f"What refused it is {name}{models}: {', '.join(parts)}{resets}.{affordable}"


def _shown(limit: Mapping[str, Any], name: str) -> str:
    return money(limit[f"{name}_pusd"]) if f"{name}_pusd" in limit else f"{limit[name]:,}"


def _limit_name(mode: str, kind: str, window: str | None, amount: str, scope: str) -> str:
    per = "" if not window else " in all" if window == "total" else f" per {window}"
    what = "" if kind == "cost" else " requests at once" if kind == "concurrency" else f" {kind}"
    return f"the {mode} limit of {amount}{what}{per} for {_whose(scope)}"


def _whose(scope: str) -> str:
    sort, _, name = scope.partition(":")
    return "everyone together" if sort == "all" else f"{sort.replace('_', ' ')} {name}"


# Admitted


def _admission(entry: RequestEntry, earlier: Sequence[EarlierUse]) -> Iterable[str]:
    if entry.reserved_pusd is None:
        yield "It was let in without an amount set aside, for the most that it may cost was not known."
    else:
        yield f"It was let in, and {money(entry.reserved_pusd)} was set aside for it."
    if earlier:
        told = ", ".join(_earlier(one) for one in earlier)
        yield f"Of the limits that hold now, earlier requests in the same window had used {told}."


def _earlier(one: EarlierUse) -> str:
    quota = one.quota
    is_money = BY_NAME[quota.kind].unit == "money"
    used, amount = (money(one.used), money(quota.amount)) if is_money else (f"{one.used:,}", f"{quota.amount:,}")
    models = f" on {', '.join(quota.models)}" if quota.models else ""
    return f"{used} of {_limit_name(quota.mode, quota.kind, quota.window, amount, quota.scope)}{models}"


def _attempts(attempts: Sequence[AttemptEntry]) -> Iterable[str]:
    for place, one in enumerate(attempts):
        word = "It" if len(attempts) == 1 else f"{_ORDINALS[min(place, len(_ORDINALS) - 1)]} it"
        where = f"{word} went to {one.provider} as {one.model}" + (f" with key {one.key}" if one.key else "")
        status = "" if one.status is None else f" (status {one.status})"
        if one.outcome == "ok":
            yield f"{where}, which answered{status}{_times(one)}{_server(one)}."
        else:
            spent = "" if len(attempts) == 1 else f"; {_spent(one)}"
            yield f"{where}, which {outcome_meaning(one.outcome)}{status}{_times(one)}{spent}."


def _times(one: AttemptEntry) -> str:
    if one.duration_ms is None:
        return ""
    first = "" if one.ttft_ms is None else f", with the first content after {seconds(one.ttft_ms)}"
    return f" after {seconds(one.duration_ms)}{first}"


def _server(one: AttemptEntry) -> str:
    served = [f" by {one.served_by}"] if one.served_by else []
    if one.served_model and one.served_model != one.model:
        served.append(f" as {one.served_model}")
    return f"; it was served{''.join(served)}" if served else ""


def _spent(one: AttemptEntry) -> str:
    if one.cost_pusd is None:
        return "what that cost is not known" if one.outcome != _LOST_BY_CRASH else "what it costs is not known yet"
    return "that cost nothing" if one.cost_pusd == 0 else f"that cost {money(one.cost_pusd)}"


def _answer(entry: RequestEntry) -> str:
    if entry.status is None:
        return "It has not ended: it runs, or ran when the proxy was killed, and what was set aside counts meanwhile."
    if entry.status == _GONE_STATUS:
        return f"The client hung up before the end{_after(entry)}."
    error = f" ({entry.error})" if entry.error else ""
    return f"The client got status {entry.status}{error}{_after(entry)}." if error or entry.status >= 300 else ""


def _after(entry: RequestEntry) -> str:
    return "" if entry.duration_ms is None else f", {seconds(entry.duration_ms)} after it had asked"


def _cost(entry: RequestEntry) -> Iterable[str]:
    if entry.state == "open":
        return
    if entry.state == "pending":
        yield "What it cost is not known yet: the provider is asked, and what was set aside counts meanwhile."
    elif entry.state == "released":
        yield "It cost nothing, for certainly nothing was billed."
    elif entry.cost_pusd is None:
        yield "What it cost is not known, and nobody can tell any more."
    else:
        doubts = {*(entry.flags or "").split()} - OF_THE_ANSWER
        sure = " That is exact." if entry.cost_source in _EXACT and not doubts else ""
        source = COST_SOURCES.get(entry.cost_source, entry.cost_source)
        what = "In all it cost" if entry.attempts > 1 else "It cost"
        yield f"{what} {money(entry.cost_pusd)}{_tokens(entry)}: {source}.{sure}"


def _late_cost(entry: RequestEntry, late: Sequence[AdjustmentRow], zone: ZoneInfo) -> Iterable[str]:
    source = COST_SOURCES.get(entry.cost_source, entry.cost_source)
    yield f"It was booked at {money(late[0].booked_pusd)}{_tokens(entry)} first: {source}."
    for one in late:
        more = "more" if one.amount_pusd > 0 else "less"
        yield (
            f"On {moment(one.ts_ms, zone)} that turned out to be {money(abs(one.amount_pusd))} {more}:"
            f" {one.reason} ({one.source})."
        )
    yield f"So it cost {money(entry.cost_pusd or 0)}."


def _tokens(entry: RequestEntry) -> str:
    if entry.input_tokens is None or entry.output_tokens is None:
        return ", with its tokens not counted"
    cached = f" ({entry.cached_tokens:,} of them cached)" if entry.cached_tokens else ""
    thought = f" ({entry.reasoning_tokens:,} of them reasoning)" if entry.reasoning_tokens else ""
    asked = "1 token" if entry.input_tokens == 1 else f"{entry.input_tokens:,} tokens"
    return f" for {asked} in{cached} and {entry.output_tokens:,} out{thought}"


def _doubts(entry: RequestEntry) -> Iterable[str]:
    meanings = [flag_meaning(flag) for flag in (entry.flags or "").split()]
    if meanings:
        yield f"Noted with it: {'; '.join(meanings)}."


def moment(ms: int, zone: ZoneInfo) -> str:
    """Return a time for people, in their zone, to the second."""
    at = datetime.fromtimestamp(ms / 1000, zone)
    return f"{at:%Y-%m-%d at %H:%M:%S} {at.tzname()}"


def seconds(ms: int) -> str:
    """Return a duration for people."""
    return "less than 1 ms" if ms < 1 else f"{ms} ms" if ms < 1000 else f"{ms / 1000:.2f} s"
