"""The weeks that the demo begins with, made up: each request as the rows that it would have left, and its bill.

Pure: the same moment, seed and tokens give the same weeks. What a request costs is worked out by the simulator's own
prices, so that its books and the ledger agree.
"""

import hashlib
import math
import random
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from proxy.cli.demo_people import GROUPS, PEOPLE, PRESETS, PROVIDER_KEYS, Habit, Person
from proxy.policy.reconciliation.sync_schedule import day_of, past_days
from proxy.simulator.prices import AUSD_PER_PUSD, DemoModels, Model, Tokens, input_ausd, output_ausd
from proxy.storage.rows import AttemptEnd, AttemptRow, NewAttempt, OpenRow, RequestEnd, RequestIds

WEEKS: Final = 9  # last month and the thirty days before the last ones are whole
DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_OPENROUTER: Final = "openrouter"
_OTHERS: Final = ("direct", "groq", "ollama")
_LOOPING: Final = "summaries"  # whose job runs away on one night
LOOP_DAYS_AGO: Final = 3
_OUTAGE_DAYS_AGO: Final = 12  # of OpenRouter, from nine to noon
_OUTSIDE_DAYS_AGO: Final = (9, 4)


class DemoRequest(NamedTuple):
    """One request: its open row, its further attempts, its end."""

    open: OpenRow
    further: tuple[NewAttempt, ...]
    end: RequestEnd


class ToldLater(NamedTuple):
    """A request that was charged at its reservation, and what it turned out to cost."""

    request_id: int
    actual_pusd: int
    at_ms: int


class DemoWeeks(Struct):
    """All that happened. calls: OpenRouter's, as the simulator is told of them (proxy/simulator/past.py)."""

    end_ms: int
    requests: list[DemoRequest] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    late: list[ToldLater] = field(default_factory=list)
    looped_ms: int = 0  # when the job that ran away was stopped

    def billed_days(self) -> list[date]:
        """Return the days of UTC that the provider still tells of, today last."""
        return [*past_days(day_of(self.end_ms)), day_of(self.end_ms)]

    def spent_pusd(self, user: str, since_ms: int) -> int:
        """Return what a user's requests since then came to."""
        return sum(
            one.end.cost_pusd or 0 for one in self.requests if one.open.user == user and one.open.started_ms >= since_ms
        )


class _Moment(NamedTuple):
    """A request that is to be made."""

    at_ms: int
    person: Person
    habit: Habit


class _Target(NamedTuple):
    """Where a request goes. model: as its provider calls it."""

    provider: str
    model: str
    row: Model


def write_weeks(end_ms: int, zone: ZoneInfo, seed: int, token_ids: Mapping[str, str]) -> DemoWeeks:
    """Return what happened in the weeks before end_ms. token_ids: the token that each user sends."""
    return _Script(end_ms, zone, seed, token_ids).write()


def begin_ms(end_ms: int, zone: ZoneInfo) -> int:
    """Return when the weeks begin: at a midnight of the zone."""
    return _midnight_ms(_first_day(end_ms, zone), zone)


def _first_day(end_ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(end_ms / 1000, zone).date() - timedelta(weeks=WEEKS)


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp() * 1000)


class _Script:
    def __init__(self, end_ms: int, zone: ZoneInfo, seed: int, token_ids: Mapping[str, str]) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - it must repeat itself
        self._models = DemoModels()
        self._tokens = token_ids
        self._ids = RequestIds(0)
        self._zone = zone
        self._days = [_first_day(end_ms, zone) + timedelta(days=n) for n in range(WEEKS * 7 + 1)]
        self._weeks = DemoWeeks(end_ms)
        self._keys = {name: key_id(secret) for name, secret in PROVIDER_KEYS.items()}

    def write(self) -> DemoWeeks:
        moments = sorted(self._moments(), key=lambda one: one.at_ms)
        for moment in moments:
            is_stopped = moment.person.name == _LOOPING and moment.at_ms > self._weeks.looped_ms
            if moment.at_ms < self._weeks.end_ms - 120_000 and not is_stopped:
                self._request(moment)
        self._last_moments()
        for days_ago in _OUTSIDE_DAYS_AGO:
            at_ms = self._at_ms(days_ago, 14)
            self._call(at_ms, "openai/gpt-5", self._chance.randrange(2 * 10**11, 9 * 10**11), user_agent="curl/8.0")
        return self._weeks

    # --- when somebody asks

    def _moments(self) -> Iterator[_Moment]:
        for person in PEOPLE:
            for habit in person.habits:
                for number, day in enumerate(self._days):
                    yield from self._day(person, habit, day, number)
        yield from self._loop()

    def _at_ms(self, days_ago: int, hour: int) -> int:
        return _midnight_ms(self._days[-1 - days_ago], self._zone) + hour * _HOUR_MS

    def _day(self, person: Person, habit: Habit, day: date, number: int) -> Iterator[_Moment]:
        wanted = habit.per_day * (habit.weekend if day.weekday() > 4 else 1) * (1 + habit.growth) ** (number / 7)
        first, last = habit.hours
        midnight_ms = _midnight_ms(day, self._zone)
        for _ in range(round(wanted * self._chance.uniform(0.6, 1.4))):
            hour = self._chance.triangular(first, last, first + (last - first) * 0.6)
            yield _Moment(midnight_ms + int(hour * _HOUR_MS) + self._chance.randrange(1000), person, habit)

    def _loop(self) -> Iterator[_Moment]:
        """Yield what a job asks that runs away until somebody stops it."""
        person = next(one for one in PEOPLE if one.name == _LOOPING)
        at_ms = self._at_ms(LOOP_DAYS_AGO, 3)
        for _ in range(240):
            at_ms += self._chance.randrange(9_000, 16_000)
            yield _Moment(at_ms, person, person.habits[0])
        self._weeks.looped_ms = at_ms + 60_000

    # --- what becomes of it

    def _request(self, moment: _Moment) -> None:
        targets = self._targets(moment.habit.model)
        is_outage = self._at_ms(_OUTAGE_DAYS_AGO, 9) <= moment.at_ms < self._at_ms(_OUTAGE_DAYS_AGO, 12)
        draw = self._chance.random()
        fails = draw < (0.7 if is_outage and targets[0].provider == _OPENROUTER else 0.012)
        if fails and len(targets) > 1:
            self._fallback(moment, targets)
        elif fails:
            self._failure(moment, targets[0])
        elif draw > 0.985:
            self._hang_up(moment, targets[0])
        elif draw > 0.983 and targets[0].provider == _OPENROUTER:
            self._unknown(moment, targets[0])
        else:
            self._answer(moment, targets[0])

    def _answer(self, moment: _Moment, target: _Target) -> None:
        open_row = self._open(moment)
        self._add(open_row, self._ended(open_row, target, self._counts(moment.habit)))

    def _hang_up(self, moment: _Moment, target: _Target) -> None:
        """Let the client hang up in the middle of a streamed answer; the provider is asked what that came to."""
        tokens = self._counts(moment.habit)
        open_row = self._open(moment)._replace(streamed=1)
        end = self._ended(open_row, target, Tokens(tokens.prompt, max(1, tokens.completion // 3), tokens.cached))
        source = "generation" if target.provider == _OPENROUTER else end.cost_source
        self._add(open_row, end._replace(status=499, flags="client_gone", finish_reason=None, cost_source=source))

    def _failure(self, moment: _Moment, target: _Target) -> None:
        open_row = self._open(moment)
        took_ms = self._chance.randrange(200, 20_000)
        self._add(open_row, _failed(open_row, target, took_ms, self._chance.choice((500, 502, 503))), is_billed=False)

    def _fallback(self, moment: _Moment, targets: tuple[_Target, ...]) -> None:
        """Let the first target fail, and the second one answer."""
        first, second = targets[:2]
        open_row = self._open(moment)
        took_ms = self._chance.randrange(150, 6_000)
        before = _attempt_end(_failed(open_row, first, took_ms, 503), 1)._replace(reserved_pusd=0, reserved_tokens=0)
        began_ms = moment.at_ms + took_ms + 2
        row = AttemptRow(
            open_row.id, 2, began_ms, second.provider, "main", second.model, self._keys.get(second.provider)
        )
        end = self._ended(open_row, second, self._counts(moment.habit))
        last = _attempt_end(end, 2)
        end = end._replace(
            attempts=2,
            fell_back=1,
            finished_ms=end.finished_ms + took_ms,
            duration_ms=(end.duration_ms or 0) + took_ms,
            ttft_ms=(end.ttft_ms or 0) + took_ms,
            attempt_ends=(last,),
        )
        self._add(open_row, end, NewAttempt(row, before))

    def _unknown(self, moment: _Moment, target: _Target) -> None:
        """Charge what was set aside, for nobody told the cost; it becomes known a quarter of an hour later."""
        tokens = self._counts(moment.habit)
        open_row = self._open(moment)
        end = self._ended(open_row, target, tokens)
        actual_pusd = end.cost_pusd or 0
        self._add(
            open_row,
            end._replace(
                cost_pusd=open_row.reserved_pusd,
                cost_source="reservation",
                flags="client_gone usage_missing",
                status=499,
                finish_reason=None,
                input_tokens=None,
                output_tokens=None,
                cached_tokens=None,
                reasoning_tokens=None,
                upstream_cost_pusd=None,
            ),
            charged_pusd=actual_pusd,
        )
        self._weeks.late.append(ToldLater(open_row.id, actual_pusd, end.finished_ms + 900_000))

    def _last_moments(self) -> None:
        """Let one stream be hung up just now, of which the provider has not told the cost yet."""
        person = next(one for one in PEOPLE if one.name == "support-bot")
        moment = _Moment(self._weeks.end_ms - 40_000, person, person.habits[0])
        (target,) = self._targets(moment.habit.model)
        open_row = self._open(moment)._replace(streamed=1)
        end = self._ended(open_row, target, self._counts(moment.habit))
        waiting = end._replace(
            state="pending", status=499, cost_pusd=None, cost_source="none", flags="client_gone usage_missing",
            finish_reason=None, input_tokens=None, output_tokens=None, cached_tokens=None, reasoning_tokens=None,
            upstream_cost_pusd=None,
        )  # fmt: skip
        self._add(open_row, waiting, charged_pusd=end.cost_pusd or 0, is_hidden=True)

    # --- how it is written

    def _targets(self, asked: str) -> tuple[_Target, ...]:
        return tuple(self._target(name) for name in PRESETS.get(asked, (asked,)))

    def _target(self, name: str) -> _Target:
        provider, _, rest = name.partition("/")
        if provider not in _OTHERS:
            provider, rest = _OPENROUTER, name
        found = self._models.find(rest if "/" in rest else f"openai/{rest}")
        assert found is not None, name
        return _Target(provider, rest, found)

    def _counts(self, habit: Habit) -> Tokens:
        prompt = self._between(*habit.input_tokens)
        cached = prompt * 3 // 4 if self._chance.random() < 0.25 else 0
        return Tokens(prompt, self._between(*habit.output_tokens), cached)

    def _between(self, least: int, most: int) -> int:
        """Draw a number of which small ones are as frequent as large ones by their size."""
        return int(math.exp(self._chance.uniform(math.log(least), math.log(most))))

    def _open(self, moment: _Moment) -> OpenRow:
        person, habit = moment.person, moment.habit
        targets = self._targets(habit.model)
        target = targets[0]
        most = Tokens(habit.input_tokens[1] * 2, habit.output_tokens[1] * 2)
        session = None
        if habit.streamed:
            session = f"{person.name}-{moment.at_ms // (3 * _HOUR_MS) % 100_000}"
        parent = GROUPS[person.group].get("parent")
        return OpenRow(
            id=self._ids.next(moment.at_ms),
            started_ms=moment.at_ms,
            day=datetime.fromtimestamp(moment.at_ms / 1000, self._zone).date().isoformat(),
            user=person.name,
            group_name=person.group,
            token_id=self._tokens[person.name],
            endpoint="chat/completions",
            requested_model=habit.model,
            use_case=habit.use_case,
            session_id=session,
            tags=habit.tags,
            reserved_pusd=max(_cost_pusd(one, most) for one in targets),
            reserved_tokens=None,
            streamed=int(self._chance.random() < habit.streamed),
            target_provider=target.provider,
            key="main",
            target_model=target.model,
            groups_above=parent,
            key_id=self._keys.get(target.provider),
        )

    def _ended(self, row: OpenRow, target: _Target, tokens: Tokens) -> RequestEnd:
        cost_pusd = _cost_pusd(target, tokens)
        first_ms = int(self._chance.lognormvariate(6.2, 0.45)) + (400 if "opus" in target.model else 0)
        speed = (
            self._chance.uniform(35, 60) if target.row.price.completion > 5 * 10**12 else self._chance.uniform(70, 160)
        )
        duration_ms = first_ms + int(tokens.completion / speed * 1000)
        is_openrouter = target.provider == _OPENROUTER
        prefix = f"gen-{row.started_ms // 1000}" if is_openrouter else "chatcmpl"
        return _end(
            row,
            target,
            finished_ms=row.started_ms + duration_ms,
            status=200,
            finish_reason=self._chance.choices(("stop", "length", "tool_calls"), (90, 4, 6))[0],
            input_tokens=tokens.prompt,
            output_tokens=tokens.completion,
            cached_tokens=tokens.cached,
            reasoning_tokens=0,
            cost_pusd=cost_pusd,
            cost_source="provider" if is_openrouter else "price",
            state="settled",
            ttft_ms=first_ms if row.streamed else duration_ms,
            duration_ms=duration_ms,
            generation_id=f"{prefix}-demo{self._chance.randrange(16**8):08x}",
            upstream_status=200,
            served_by=target.row.provider if is_openrouter else None,
            is_byok=0 if is_openrouter else None,
            upstream_cost_pusd=cost_pusd if is_openrouter else None,
        )

    def _add(
        self,
        row: OpenRow,
        end: RequestEnd,
        *further: NewAttempt,
        is_billed: bool = True,
        charged_pusd: int | None = None,
        is_hidden: bool = False,
    ) -> None:
        self._weeks.requests.append(DemoRequest(row, further, end))
        if is_billed and end.provider == _OPENROUTER and end.generation_id is not None:
            charged = end.cost_pusd if charged_pusd is None else charged_pusd
            self._call(
                row.started_ms, end.model or "", charged or 0,
                id=end.generation_id, provider=end.served_by, is_hidden=is_hidden,
                prompt_tokens=end.input_tokens or 0, completion_tokens=end.output_tokens or 0,
            )  # fmt: skip

    def _call(self, at_ms: int, model: str, charged_pusd: int, **more: Any) -> None:
        usual = {
            "id": f"gen-{at_ms // 1000}-outside{len(self._weeks.calls):06}",
            "created": at_ms // 1000,
            "key": PROVIDER_KEYS[_OPENROUTER],
            "provider": "OpenAI",
            "user_agent": "tollkeeper",
        }
        self._weeks.calls.append({**usual, "model": model, "charged_pusd": charged_pusd, **more})


def key_id(secret: str) -> int:
    """Return by what rows remember a key."""
    return int(hashlib.sha256(secret.encode()).hexdigest()[:12], 16)


def _cost_pusd(target: _Target, tokens: Tokens) -> int:
    """Return what a call costs, as the simulator charges it; a server of one's own sends no bill."""
    price = target.row.price
    return -(-(input_ausd(price, tokens) + output_ausd(price, tokens)) // AUSD_PER_PUSD)


def _end(row: OpenRow, target: _Target, **more: Any) -> RequestEnd:
    usual: dict[str, Any] = dict.fromkeys(RequestEnd._fields)
    usual.update(
        id=row.id,
        model=target.model,
        provider=target.provider,
        attempts=1,
        outcome="ok",
        started_ms=row.started_ms,
        user=row.user,
        group_name=row.group_name,
        use_case=row.use_case,
        streamed=row.streamed,
        groups_above=row.groups_above,
        fell_back=0,
        uncounted_tokens=0,
        attempt_ends=(),
        uncounted_pieces=RequestEnd._field_defaults["uncounted_pieces"],
    )
    return RequestEnd(**{**usual, **more})


def _failed(row: OpenRow, target: _Target, took_ms: int, status: int) -> RequestEnd:
    return _end(
        row,
        target,
        finished_ms=row.started_ms + took_ms,
        status=502 if status == 500 else status,
        cost_pusd=0,
        cost_source="none",
        state="released",
        duration_ms=took_ms,
        error="upstream_error",
        outcome="upstream_error",
        upstream_status=status,
    )


def _attempt_end(end: RequestEnd, n: int) -> AttemptEnd:
    """Return the row of an attempt that is all of a request but for those before it."""
    return AttemptEnd(
        request_id=end.id,
        n=n,
        outcome=end.outcome,
        status=end.upstream_status,
        served_model=end.model if end.error is None else None,
        served_by=end.served_by,
        generation_id=end.generation_id,
        input_tokens=end.input_tokens,
        output_tokens=end.output_tokens,
        cached_tokens=end.cached_tokens,
        reasoning_tokens=end.reasoning_tokens,
        cost_pusd=end.cost_pusd,
        cost_source=end.cost_source,
        ttft_ms=end.ttft_ms,
        duration_ms=end.duration_ms,
        is_byok=end.is_byok,
        upstream_cost_pusd=end.upstream_cost_pusd,
    )
