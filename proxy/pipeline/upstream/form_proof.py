"""What an answer proves of the form in which its target takes what the proxy writes."""

from proxy.pipeline.services import Services
from proxy.pipeline.upstream.parameter_forms import Proof
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.route import Route
from proxy.policy.parameter_form import PLAIN


def proof_of(attempt: Attempt, route: Route) -> Proof:
    """Return the kind of request that an answer to this attempt proves to be taken."""
    return attempt.provider.base_url, attempt.target.model, route.endpoint.name, route.preset, attempt.streamed


def may_refuse(attempt: Attempt, route: Route, services: Services) -> bool:
    """Return whether an answer under 200 may still refuse what the proxy wrote: none of the kind has come yet."""
    sent = route.body if route.asked is None else route.asked  # as Route.sent
    if attempt.body is None or len(attempt.body) <= len(sent):
        return False
    proof = attempt.provider.base_url, attempt.target.model, route.endpoint.name, route.preset, attempt.streamed
    return proof not in services.forms.proved  # proof_of(), which takes longer to call


def learn_form(attempt: Attempt, route: Route, services: Services) -> None:
    """Keep what an answer has proved."""
    services.forms.prove(proof_of(attempt, route))
    change = attempt.change
    if change is not None and change.lesson != PLAIN:
        kind, now_s = route.endpoint.kind, services.clock.monotonic_s()
        services.forms.learn(attempt.provider, attempt.target.model, kind, change.lesson, now_s)
