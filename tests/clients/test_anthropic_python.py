"""The official package of Anthropic, on /v1/messages."""

from tests.clients.matrix import Matrix
from tests.clients.program import Program
from tests.support.stand import Stand


class TestMessages(Matrix):
    program_file = "python/anthropic_sdk.py"
    endpoint = "messages"

    async def test_counting_tokens(self, served: Stand, program: Program) -> None:
        """It costs nothing, so that nothing is booked."""
        direct, proxied = await self.both(served, program, {}, endpoint="messages/count_tokens")
        assert proxied == direct
        assert direct["input_tokens"] > 0
        assert await served.rows() == []
