"""/admin/v1/doctor: every endpoint of the providers tried with every key, for who wonders what does not work."""

import asyncio

from msgspec.structs import asdict
from pydantic import BaseModel, Field

from proxy import __version__
from proxy.core.build import IS_COMPILED, changed_files
from proxy.core.errors import CallerError
from proxy.jobs.trial_chat import TrialChat
from proxy.providers.account.examination import EndpointTry, Examination
from proxy.providers.provider import ProviderRow
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminRequest, AdminRoute


class EndpointReport(BaseModel):
    """One request to a provider. is_good: null where it was not made, and said says why.

    returned: the shape of the answer, nothing of what it says. said: what went wrong, and what to do; of a short answer
    that was asked for also the model, and what it costs at most.
    """

    provider: str
    key: str
    request: str = Field(description='Such as "GET /key".')
    is_good: bool | None
    status: int | None
    took_ms: int | None
    returned: str
    said: str


class BuildReport(BaseModel):
    """What answers: its version, and whether its files were compiled."""

    version: str
    is_compiled: bool
    changed_files: list[str] = Field(description="Files that are no longer what was compiled.")


class DoctorReport(BaseModel):
    """Who asked, and all tries. is_good: none of them failed."""

    is_good: bool
    build: BuildReport
    tries: list[EndpointReport]


class DoctorRequest(AdminBody):
    """Whom to ask; provider null: all that are enabled. chat: ask for a cheap answer too, with each key; it costs.

    What the answers cost is booked, under no user.
    """

    provider: str | None = None
    chat: bool = False


async def _examine(request: AdminRequest) -> AdminAnswer:
    body: DoctorRequest = request.body
    rows = _providers(request, body.provider)
    found = [one for tries in await asyncio.gather(*(_tries(request, row) for row in rows)) for one in tries]
    is_good = all(one.is_good is not False for one in found)
    build = {"version": __version__, "is_compiled": IS_COMPILED, "changed_files": changed_files()}
    return AdminAnswer({"is_good": is_good, "build": build, "tries": [asdict(one) for one in found]})


async def _tries(request: AdminRequest, provider: ProviderRow) -> list[EndpointTry]:
    if provider.rules is not None and provider.rules.off is not None:
        said = f"It is disabled ({provider.rules.off}), and was not asked."
        return [EndpointTry(provider.name, "-", "-", None, said=said)]
    tries = Examination(provider, request.deps.services.clock).tries()
    if not request.body.chat:
        return await tries
    trial = TrialChat(request.deps.services, request.deps.late)
    answers = asyncio.gather(*(trial.run(provider, key) for key in provider.keys))
    found, asked = await asyncio.gather(tries, answers)
    return [*found, *asked]


def _providers(request: AdminRequest, name: str | None) -> list[ProviderRow]:
    rows = request.deps.services.live.current.providers
    if name is None:
        return [*rows.values()]
    if name not in rows:
        there = ", ".join(rows)
        text = f"provider: there is no provider {name!r}. There are: {there}."
        raise CallerError(422, "invalid_field", text, param="provider")
    return [rows[name]]


ROUTES = (
    AdminRoute("POST", "/doctor", _examine, "Try every endpoint with every key", DoctorReport, body=DoctorRequest),
)
