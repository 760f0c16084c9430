"""The response headers of OpenRouter (through Cloudflare) and of OpenAI. Pure."""

from datetime import UTC, datetime

_OPENROUTER = [
    ("Server", "cloudflare"),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "X-Generation-Id,X-Provider-Name,cf-ray"),
    ("Permissions-Policy", 'payment=(self "https://checkout.stripe.com")'),
    ("Referrer-Policy", "no-referrer, strict-origin-when-cross-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("Vary", "Accept-Encoding"),
]
_OPENAI = [
    ("openai-organization", "org-simulator"),
    ("openai-processing-ms", "7"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-limit-tokens", "2000000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-remaining-tokens", "1999984"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-reset-tokens", "0s"),
]
JSON = "application/json"
STREAM = "text/event-stream"


def date(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


def openrouter(now: int, ray: str, content_type: str) -> list[tuple[str, str]]:
    """Return the headers of an answer of OpenRouter; ray is 16 letters, different for each answer."""
    return [
        ("Date", date(now)),
        ("Content-Type", content_type),
        ("CF-RAY", f"{ray}-ARN"),
        ("Set-Cookie", f"__cf_bm={ray}; path=/; domain=.openrouter.ai; HttpOnly; Secure; SameSite=None"),
        *_OPENROUTER,
        *([("Cache-Control", "no-cache")] if content_type == STREAM else []),
    ]


def openai(now: int, ray: str, content_type: str) -> list[tuple[str, str]]:
    """Return the headers of an answer of OpenAI."""
    content = f"{content_type}; charset=utf-8" if content_type == STREAM else content_type
    return [("Date", date(now)), ("Content-Type", content), ("x-request-id", f"req_{ray}"), *_OPENAI]
