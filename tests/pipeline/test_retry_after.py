"""Nobody is told to wait for more than a minute: some SDKs sleep for as long as they are told."""

import pytest

from tests.support.stand import Stand


@pytest.mark.parametrize(
    ("sent", "told"),
    [("7", "7"), ("60", "60"), ("61", "60"), ("86400000", "60"), ("soon", "12"), ("-5", "12")],
)
async def test_a_providers_retry_after_is_at_most_a_minute(stand: Stand, sent: str, told: str) -> None:
    """Where the header says nothing, what the body asks for is told: 12 seconds."""
    await stand.sim.behave("all", error="upstream-rate-limit", retry_after=sent)
    answer = await stand.chat()
    assert answer.status == 429
    assert answer.header("retry-after") == told
