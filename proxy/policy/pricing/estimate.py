"""The expected cost of a request, for soft limits only."""

from proxy.policy.pricing.body_facts import BodyFacts
from proxy.policy.pricing.price import AUSD_PER_PUSD, Price

_BYTES_PER_TOKEN = 4  # of ordinary text
_IMAGE_TOKENS = 1000
_ANSWER_TOKENS = 500  # of a chat, where nothing else is said


def estimated_tokens(facts: BodyFacts, limit: int | None) -> tuple[int, int]:
    """Return the likely tokens of the prompt and of all answers; limit is the longest answer of the model."""
    text_bytes = max(0, facts.size_bytes - facts.data_url_bytes)
    prompt = text_bytes // _BYTES_PER_TOKEN + facts.images * _IMAGE_TOKENS
    answer = _ANSWER_TOKENS if facts.max_output_tokens is None else facts.max_output_tokens
    answer = answer if limit is None else min(answer, limit)
    return prompt, answer * facts.choices if facts.generates else 0


def estimate_pusd(price: Price, facts: BodyFacts) -> int:
    """Return the likely cost in pico-USD by the list's base prices, rounded up."""
    prompt, answer = estimated_tokens(facts, price.output_limit_tokens)
    tokens_ausd = prompt * price.input_ausd + answer * price.output_ausd
    return -(-tokens_ausd // AUSD_PER_PUSD) + price.request_pusd + facts.images * (price.image_pusd or 0)
