"""What recent requests came to, for rules that watch errors, latency, further attempts and loops."""

from proxy.config.alerts import AlertRule
from proxy.pipeline.recent_requests import RecentRequests
from proxy.pipeline.repeated_bodies import RepeatedBodies
from proxy.policy.alerts import measures
from proxy.policy.alerts.measures import AlertReading


def error_rate(recent: RecentRequests, rule: AlertRule) -> list[AlertReading]:
    return [
        measures.rate(scope, sums.failed, sums.requests, rule.min_requests)
        for scope, sums in recent.within(_span_ms(rule)).items()
    ]


def fallback_rate(recent: RecentRequests, rule: AlertRule) -> list[AlertReading]:
    return [
        measures.rate(scope, sums.retried, sums.requests, rule.min_requests)
        for scope, sums in recent.within(_span_ms(rule)).items()
    ]


def latency_p95(recent: RecentRequests, rule: AlertRule) -> list[AlertReading]:
    found = []
    for scope, sums in recent.within(_span_ms(rule)).items():
        answered = sum(sums.durations.values())
        ms = measures.percentile_ms(sums.durations.items(), 95) if answered >= rule.min_requests else None
        if ms is not None:
            found.append(AlertReading(scope, scope, ms / 1000, detail=f"of {answered} answers"))
    return found


def repeats(bodies: RepeatedBodies, rule: AlertRule) -> list[AlertReading]:
    """Return for each token how often it sent the body that it sent most."""
    most: dict[str, int] = {}
    for user, token_id, _, times in bodies.within(_span_ms(rule)):
        subject = f"{user}/{token_id}"
        most[subject] = max(most.get(subject, 0), times)
    minutes = rule.span_s / 60
    return [
        AlertReading(subject, subject, float(times), detail=f"within {minutes:g} minutes")
        for subject, times in most.items()
    ]


def _span_ms(rule: AlertRule) -> int:
    return round(rule.span_s * 1000)
