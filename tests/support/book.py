"""The book behind a proxy's limits, for tests that look inside."""

from proxy.pipeline.admission.limiter import MemoryLimiter
from proxy.pipeline.services import Services
from proxy.policy.quota import QuotaBook


def limiter_of(services: Services) -> MemoryLimiter:
    """Return the limiter in memory that these services work with."""
    assert isinstance(services.limiter, MemoryLimiter)
    return services.limiter


def book_of(services: Services) -> QuotaBook:
    return limiter_of(services).book
