"""What an answer proves of the form in which its target takes what the proxy writes."""

from proxy.pipeline.services import Services
from proxy.pipeline.upstream.parameter_forms import Proof
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.route import Route
from proxy.policy.parameter_form import PLAIN


def proof_of(attempt: Attempt, route: Route) -> Proof:
    """Return the kind of request that an answer to this attempt proves to be taken."""
    return attempt.provider.base_url, attempt.target.model, route.endpoint.name, route.preset, attempt.streamed


def learn_form(attempt: Attempt, route: Route, services: Services) -> None:
    """Keep what an answer has proved."""
    services.forms.prove(proof_of(attempt, route))
    change = attempt.change
    if change is not None and change.lesson != PLAIN:
        kind, now_s = route.endpoint.kind, services.clock.monotonic_s()
        services.forms.learn(attempt.provider, attempt.target.model, kind, change.lesson, now_s)
