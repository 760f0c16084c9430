"""The state of the providers as JSON: breakers, keys, queues; for /readyz?verbose and explain."""

from proxy.core.clock import iso_utc
from proxy.pipeline.upstream.provider_health import ProviderView
from proxy.policy.breaker import BreakerView
from proxy.policy.key_ring import KeyView


def provider_json(view: ProviderView) -> dict[str, object]:
    """Return one provider as JSON, with those models whose breaker has seen a failure, and its queue if it has one."""
    found: dict[str, object] = {
        "breaker": breaker_json(view.breaker),
        "models": {model: breaker_json(breaker) for model, breaker in view.models.items()},
        "keys": [_key_json(key) for key in view.keys],
        "retries_left": view.retries_left,
    }
    if view.running is not None:
        found["line"] = {"running": view.running, "waiting": view.waiting}
    return found


def breaker_json(view: BreakerView) -> dict[str, object]:
    return {
        "state": view.state,
        "failures_in_row": view.failures_in_row,
        "attempts": view.attempts,
        "errors": view.errors,
        "retry_in_s": None if view.retry_in_s is None else round(view.retry_in_s, 1),
        "opened": view.opened_count,
    }


def _key_json(view: KeyView) -> dict[str, object]:
    until_ms = view.set_aside_until_ms
    return {
        "name": view.name,
        "valid": view.valid,
        "set_aside_until": None if until_ms is None else iso_utc(until_ms),
        "reason": view.reason,
        "models_set_aside": view.models_set_aside,
    }
