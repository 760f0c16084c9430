"""Playground: one prompt to several models side by side, under a user's own limits, and which answer was better."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from proxy.core.errors import CallerError
from proxy.storage.ledger import LedgerUnavailableError
from proxy.web.admin.run_route import unwritten
from proxy.web.dashboard.form_keys import new_form_key
from proxy.web.dashboard.pages.people import base_url_of
from proxy.web.dashboard.sessions import actor_of, identity_of
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.trial import Trial, TrialAnswer, ask_all, stream_trial
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View, Whole

MODELS_MAX: Final = 4
_VOTE: Final = "playground.vote"
_VOTES_READ: Final = 1000
_PROMPT_CHARS: Final = 100_000
_NAME_CHARS: Final = 256
_SLOTS: Final = tuple(f"model{n}" for n in range(1, MODELS_MAX + 1))
_STANDINGS: Final = (
    Column("model", "Model"),
    Column("won", "Better", "count"),
    Column("shown", "Compared", "count"),
    Column("share", "Share", "share"),
)


class TrialUsers(Struct, frozen=True):
    """Who may be asked for here, and where the page is."""

    users: Sequence[str]
    user: str
    here: str


def _asker(request: DashboardRequest) -> TrialUsers:
    """Return the user of a user's own page; on an operator's page one of all users who have a token."""
    session, directory = request.session, request.deps.services.live.current.directory
    if session.user is not None:
        return TrialUsers((session.user,), session.user, "/me/playground")
    users = sorted(directory.users())
    wanted = request.form.get("user") or request.query.get("user") or session.name
    # nobody's limits are spent by chance: of several users one is chosen
    user = wanted if wanted in users else users[0] if len(users) == 1 else ""
    return TrialUsers(users, user, "/dashboard/playground")


async def _show(request: DashboardRequest) -> Page:
    return await _page(request)


async def _page(
    request: DashboardRequest, answers: Sequence[TrialAnswer] = (), problem: CallerError | None = None
) -> Page:
    asker = _asker(request)
    given = {name: request.form.get(name, "") for name in (*_SLOTS, "prompt", "system", "max_tokens")}
    values = {
        "asker": asker,
        "slots": _SLOTS,
        "models": _models(request),
        "given": given,
        "answers": [await _with_cost(request, answer) for answer in answers],
        "problem": None if problem is None else problem.message,
        "stream_keys": [new_form_key(request.session) for _ in _SLOTS],
        "snippets": _snippets(given["model1"] or "MODEL", given["prompt"] or "Hello!", base_url_of(request)),
    }
    status = 200 if problem is None else problem.status
    return Page("playground.html", values, (await _standings(request),), status=status)


def _models(request: DashboardRequest) -> Sequence[str]:
    """Return what may be asked for, by what the models' page lists; presets first. A user sees what they may use."""
    services = request.deps.services
    snapshot = services.live.current
    first, *others = [*snapshot.providers] or [""]
    names = [*snapshot.settings.presets]
    names += sorted(services.model_lists.listing(first).models) if first else []
    names += [f"{name}/{model}" for name in others for model in sorted(services.model_lists.listing(name).models)]
    if request.session.user is None:
        return names
    allowance = identity_of(request.session, request.deps).allowance
    return [name for name in names if allowance.allows(name)]


async def _with_cost(request: DashboardRequest, answer: TrialAnswer) -> Mapping[str, Any]:
    """Return an answer with what its row says it cost; None where that is not known yet."""
    cost_pusd = None
    if answer.is_ok and answer.request_id:
        cost_pusd = (await request.api.get(f"/requests/{answer.request_id}"))["cost_pusd"]
    names = ("model", "request_id", "is_ok", "text", "input_tokens", "output_tokens", "duration_ms")
    return {**{name: getattr(answer, name) for name in names}, "cost_pusd": cost_pusd}


async def _ask(request: DashboardRequest) -> Page:
    """Ask all models at once and wait for whole answers: the way without a script."""
    try:
        trials = [_trial(request, model) for model in _chosen(request)]
    except CallerError as error:
        return await _page(request, problem=error)
    return await _page(request, await ask_all(request, trials))


def _chosen(request: DashboardRequest) -> Sequence[str]:
    """Return the models of the form, each once; raises CallerError for none."""
    models = [name for slot in _SLOTS if (name := request.form.get(slot, "").strip())]
    if not models:
        raise CallerError(422, "invalid_field", "Choose a model.", param="model1")
    return [*dict.fromkeys(models)]


async def _stream(request: DashboardRequest) -> Whole:
    """Ask one model, and stream its answer as it comes."""
    return Whole(await stream_trial(request, _trial(request, request.form.get("model", "").strip())))


def _trial(request: DashboardRequest, model: str) -> Trial:
    """Return what the form asks; raises CallerError for a form that can not be asked."""
    form = request.form
    prompt, system = form.get("prompt", ""), form.get("system", "").strip()
    if not prompt.strip():
        raise CallerError(422, "invalid_field", "Write a prompt.", param="prompt")
    if len(prompt) + len(system) > _PROMPT_CHARS or len(model) > _NAME_CHARS:
        raise CallerError(
            422, "invalid_field", f"The prompt is longer than {_PROMPT_CHARS:,} characters.", param="prompt"
        )
    tokens = form.get("max_tokens", "").strip()
    if tokens and not (tokens.isascii() and tokens.isdigit() and 0 < len(tokens) < 8 and int(tokens)):
        raise CallerError(422, "invalid_field", "The longest answer is a number of tokens.", param="max_tokens")
    tags = None if request.session.operator is None else f"operator={request.session.name}"
    return Trial(model, prompt, system, int(tokens) if tokens else None, _token_hash(request), tags)


def _token_hash(request: DashboardRequest) -> str:
    """Return the hash of the token that the request counts for."""
    deps, session = request.deps, request.session
    if session.user is not None:
        return deps.sessions.named(session.id).row.bound
    asker = _asker(request)
    user = asker.user
    if asker.users and not user:
        raise CallerError(422, "invalid_field", "Choose for whose limits it counts.", param="user")
    row = deps.services.live.current.directory.token_of(user, request.now_ms)
    if row is None:
        text = (
            f"{user or 'Nobody'} has no valid token, so nothing can be asked in their name. Make one: /dashboard/people"
        )
        raise CallerError(422, "invalid_field", text, param="user")
    return row.hash


async def _vote(request: DashboardRequest) -> Redirect:
    """Record which answer was better, in the audit trail; prompts and answers are kept nowhere."""
    winner = request.form.get("winner", "")[:_NAME_CHARS]
    shown = [name[:_NAME_CHARS] for name in request.form_lists.get("shown", ())][:MODELS_MAX]
    if winner not in shown or len(shown) < 2:
        raise CallerError(422, "invalid_field", "Vote for one of the answers that were shown.", param="winner")
    fields = {"action": _VOTE, "subject": winner, "before": None, "after": {"shown": sorted(set(shown))}}
    actor = actor_of(request.session, request.context)
    try:
        await request.deps.services.ledger.operate("audit.note", now_ms=request.now_ms, actor=actor, fields=fields)
    except LedgerUnavailableError as error:
        raise unwritten(str(error)) from None
    return Redirect(_asker(request).here, f"Noted: {winner} was better.")


async def _standings(request: DashboardRequest) -> Table:
    """Return how often each model was better; on a user's own page by their own votes."""
    query = {"action": _VOTE, "actor": request.session.user}
    votes = await request.api.all("/audit", query, most=_VOTES_READ)
    won, shown = Counter[str](), Counter[str]()
    for vote in votes:
        won[vote["subject"]] += 1
        shown.update((vote["after"] or {}).get("shown", ()))
    rows = [
        {"model": model, "won": won[model], "shown": count, "share": won[model] / count}
        for model, count in shown.items()
    ]
    empty = "Nobody has voted yet: ask two models, and say which answer was better."
    return Table("standings", "Which was better", _STANDINGS, rows, empty, "-share")


def _snippets(model: str, prompt: str, base_url: str) -> Mapping[str, str]:
    """Return the same request for curl, Python and Node; texts are quoted as each needs it."""
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]}).decode()
    name, words, url = (orjson.dumps(text).decode() for text in (model, prompt, base_url))
    return {
        "curl": f'curl {shlex.quote(base_url)}/chat/completions \\\n  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        f'  -H "Content-Type: application/json" \\\n  -d {shlex.quote(body)}',
        "Python": f'from openai import OpenAI\n\nclient = OpenAI(base_url={url}, api_key="tk-...")\n'
        f"answer = client.chat.completions.create(\n    model={name},\n"
        f'    messages=[{{"role": "user", "content": {words}}}],\n)\nprint(answer.choices[0].message.content)',
        "Node": f'import OpenAI from "openai";\n\nconst client = new OpenAI({{ baseURL: {url}, apiKey: "tk-..." }});\n'
        f"const answer = await client.chat.completions.create({{\n  model: {name},\n"
        f'  messages: [{{ role: "user", content: {words} }}],\n}});\nconsole.log(answer.choices[0].message.content);',
    }


VIEWS = (
    View("GET", "/dashboard/playground", _show, "Playground"),
    View("POST", "/dashboard/playground", _ask, "Playground"),
    View("POST", "/dashboard/playground/stream", _stream, "Playground"),
    View("POST", "/dashboard/playground/votes", _vote, "Playground"),
    View("GET", "/me/playground", _show, "Playground", audience="user"),
    View("POST", "/me/playground", _ask, "Playground", audience="user"),
    View("POST", "/me/playground/stream", _stream, "Playground", audience="user"),
    View("POST", "/me/playground/votes", _vote, "Playground", audience="user"),
)
