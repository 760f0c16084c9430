"""/admin/v1/stops: what is stopped. A stop is in force when the answer comes."""

from collections.abc import Iterable

from msgspec import Struct
from pydantic import BaseModel, Field

from proxy.config.on_spent import A_MINUTE, A_MINUTE_MAX
from proxy.core.stop_effect import EffectName, StopEffect
from proxy.pipeline.stops import NewStop
from proxy.policy.nearest import nearest
from proxy.policy.stop import Stop, StopKind
from proxy.storage.stops import REASON_CHARS_MAX, SUBJECT_CHARS_MAX
from proxy.storage.users import MissingError
from proxy.web.admin.moment import Moment, MomentText, check_ahead, moment_ms, moment_text
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute
from proxy.web.deps import Deps


class StopEntry(BaseModel):
    """A stop. subject: a name, of a model a pattern, "" for all. is_durable: it is on disk, and outlives the proxy.

    effect: what becomes of requests. preset: of downgrade. a_minute: of slow. rule: the alert rule that has made it.
    """

    id: str
    kind: StopKind
    subject: str
    reason: str | None
    cut: bool
    actor: str
    source: str
    created_at: MomentText
    ends_at: MomentText | None
    is_durable: bool
    effect: EffectName
    preset: str | None
    a_minute: int | None
    rule: str | None


class StopFields(AdminBody):
    """What to stop. subject: a name, of a model a pattern such as openai/*; none for all. cut: end what runs, too.

    effect: stop refuses requests; slow lets in a_minute of them (6); downgrade sends them by preset.
    """

    kind: StopKind
    subject: str = Field(default="", max_length=SUBJECT_CHARS_MAX)
    reason: str | None = Field(default=None, max_length=REASON_CHARS_MAX)
    cut: bool = False
    ends_at: Moment | None = None
    effect: EffectName = "stop"
    preset: str | None = Field(default=None, max_length=SUBJECT_CHARS_MAX)
    a_minute: int | None = Field(default=None, ge=1, le=A_MINUTE_MAX)


class StopFilter(AdminQuery):
    """Which stops."""

    kind: StopKind | None = None
    subject: str | None = None


class _Names(Struct, frozen=True):
    """The names of one kind, and where a person finds them."""

    known: Iterable[str]
    command: str


def stop_entry(stop: Stop, deps: Deps) -> dict[str, object]:
    """Return a stop as the API shows it."""
    return {
        **{name: getattr(stop, name) for name in ("id", "kind", "subject", "reason", "cut", "actor", "source")},
        "created_at": moment_text(stop.created_ms),
        "ends_at": moment_text(stop.until_ms),
        "is_durable": deps.services.stops.is_durable(stop),
        "effect": stop.effect,
        "preset": stop.preset or None,
        "a_minute": stop.a_minute or None,
        "rule": stop.rule,
    }


async def _list(request: AdminRequest) -> AdminAnswer:
    query: StopFilter = request.query
    stops = [
        stop
        for stop in request.deps.services.stops.in_force()
        if query.kind in (None, stop.kind) and query.subject in (None, stop.subject)
    ]
    page, cursor = request.page.of(stops, lambda stop: (stop.created_ms, stop.id))
    return AdminAnswer([stop_entry(stop, request.deps) for stop in page], cursor)


async def _show(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(stop_entry(request.deps.services.stops.find(request.path["id"]), request.deps))


async def _add(request: AdminRequest) -> AdminAnswer:
    body: StopFields = request.body
    until_ms = moment_ms(body.ends_at)
    check_ahead(until_ms, "ends_at", request.now_ms)
    if body.subject:
        await _check_known(request, body.kind, body.subject)
    effect = StopEffect(body.effect, body.preset or "", body.a_minute or (A_MINUTE if body.effect == "slow" else 0))
    if effect.preset:
        await _check_known(request, "preset", effect.preset)
    wanted = NewStop(body.kind, body.subject, body.reason, body.cut, until_ms, effect)
    stop = await request.deps.services.stops.add(wanted, request.actor, request.claim)
    return AdminAnswer(stop_entry(stop, request.deps))


async def _end(request: AdminRequest) -> AdminAnswer:
    stops = request.deps.services.stops
    async with request.deps.changes:
        if request.check_unchanged is not None:
            await request.check_unchanged()
        stop = stops.find(request.path["id"])
        entry = stop_entry(stop, request.deps)
        await stops.end(stop, request.actor)
    return AdminAnswer(entry)


async def _check_known(request: AdminRequest, kind: StopKind, subject: str) -> None:
    """Raise MissingError for a name that nothing has: who is in a hurry mistypes. Any pattern of models will do."""
    names = await _names_of(request, kind)
    if names is None or subject in (known := set(names.known)):
        return
    close = nearest(subject, known)
    hint = f' Did you mean "{close}"?' if close else f" See: {names.command}"
    raise MissingError(f'There is no {kind} "{subject}", so nothing was stopped.{hint}')


async def _names_of(request: AdminRequest, kind: StopKind) -> _Names | None:
    reports, settings = request.deps.services.reports, request.deps.services.live.current.settings
    if kind == "user":
        return _Names([*settings.users, *await request.read(reports.known_users)], "tollkeeper users list")
    if kind == "group":
        used = {row["group"] for row in await request.read(reports.list_users)}
        return _Names(filter(None, (*settings.groups, *used)), "tollkeeper groups list")
    if kind == "token":
        labels = [token.label for user in settings.users.values() for token in user.all_tokens]
        stored = await request.read(reports.list_tokens)
        return _Names([*labels, *(row["id"] for row in stored)], "tollkeeper tokens list")
    if kind == "preset":
        return _Names(settings.presets, "tollkeeper config show")
    return _Names(settings.providers, "tollkeeper config show") if kind == "provider" else None


ROUTES = (
    AdminRoute("GET", "/stops", _list, "List what is stopped", StopEntry, query=StopFilter, is_list=True),
    AdminRoute("POST", "/stops", _add, "Stop requests, at once", StopEntry, body=StopFields, status=201),
    AdminRoute("GET", "/stops/{id}", _show, "Show a stop", StopEntry),
    AdminRoute("DELETE", "/stops/{id}", _end, "Let go on what a stop forbids", StopEntry),
)
