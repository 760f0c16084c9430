"""enrol: an end user who was never seen before gets a row of their own, so that a restart knows them."""

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.errors import ledger_down
from proxy.pipeline.services import Services
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.users import TooManyUsersError


async def provision(context: RequestContext, services: Services) -> None:
    """Write the user durably; raises CallerError 403 if there are too many, OwnError 503 if the disk refuses."""
    identity, users_max = context.identity, context.snapshot.settings.end_users.users_max
    try:
        row = await services.ledger.add_end_user(
            now_ms=context.started_ms, name=identity.user, token_id=identity.token_id, users_max=users_max
        )
    except TooManyUsersError:
        raise CallerError(
            403,
            "too_many_end_users",
            f"There are {users_max} end users already, so {identity.user!r} cannot be added."
            " Operator: raise end_users.users_max, or remove some with tollkeeper users remove.",
            type_="permission_error",
        ) from None
    except LedgerUnavailableError as error:
        raise ledger_down(str(error)) from None
    services.live.current.directory.add_person(row)
