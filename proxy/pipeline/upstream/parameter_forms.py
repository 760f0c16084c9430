"""The forms in which targets take what the proxy writes: as configured, as known, and as learnt from a refusal.

What was learnt holds for an hour, for one model at one address of a provider, and outlives a change of the
configuration.
"""

from proxy.core.endpoint_kind import Endpoint
from proxy.core.glob import fits
from proxy.policy.parameter_form import PLAIN, ParameterForm, known_form
from proxy.providers.provider import ProviderRow

HOLDS_S = 3600.0
_MOST = 1000  # names of models come from callers, and must not fill memory

Proof = tuple[str, str, str, str | None, bool]
"""A provider's address, a model, an endpoint, a preset, and whether it was a stream."""

_Place = tuple[str, str, str, Endpoint]


class ParameterForms:
    """The one owner of what was learnt. learnt: by provider, address, model and endpoint, with the time it ends."""

    def __init__(self) -> None:
        # kinds of requests that were answered with all that the proxy wrote; none is taken out of one set
        self.proved: set[Proof] = set()
        self.learnt: dict[_Place, tuple[ParameterForm, float]] = {}

    def of(self, provider: ProviderRow, model: str, endpoint: Endpoint, now_s: float) -> ParameterForm | None:
        """Return the form for a target; None: nothing is different there."""
        form = known_form(provider.host, model, endpoint) if provider.has_forms else None
        place = (provider.name, provider.base_url, model, endpoint)
        learnt = self.learnt.get(place)
        if learnt is not None:
            if now_s < learnt[1]:
                form = learnt[0].over(form or PLAIN)
            else:
                del self.learnt[place]
        configured = _configured(provider, model)
        return form if configured is None else configured.over(form or PLAIN)

    def prove(self, proof: Proof) -> None:
        """Record that a kind of request was answered."""
        if len(self.proved) >= _MOST:
            self.proved = set()
        self.proved.add(proof)

    def learn(self, provider: ProviderRow, model: str, endpoint: Endpoint, form: ParameterForm, now_s: float) -> None:
        """Record what an answer has proved."""
        place = (provider.name, provider.base_url, model, endpoint)
        before = self.learnt.pop(place, None)
        if before is not None and now_s < before[1]:
            form = form.over(before[0])
        elif len(self.learnt) >= _MOST:
            del self.learnt[next(iter(self.learnt))]
        self.learnt[place] = (form, now_s + HOLDS_S)


def _configured(provider: ProviderRow, model: str) -> ParameterForm | None:
    for pattern, form in provider.parameters:
        if fits(model, pattern):
            return form
    return None
