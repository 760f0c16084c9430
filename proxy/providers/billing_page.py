"""Where to add credits to an account, by the host of its API; from the providers' own documentation, 2026."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

PAGES: Final[Mapping[str, str]] = {
    "openrouter.ai": "https://openrouter.ai/settings/credits",
    "api.openai.com": "https://platform.openai.com/settings/organization/billing",
    "api.anthropic.com": "https://console.anthropic.com/settings/billing",
    "generativelanguage.googleapis.com": "https://aistudio.google.com/billing",
    "aiplatform.googleapis.com": "https://console.cloud.google.com/billing",
    "openai.azure.com": "https://portal.azure.com",
    "api.deepseek.com": "https://platform.deepseek.com/top_up",
    "api.mistral.ai": "https://admin.mistral.ai/organization/billing",
    "api.groq.com": "https://console.groq.com/settings/billing",
    "api.together.xyz": "https://api.together.ai/settings/billing",
    "api.together.ai": "https://api.together.ai/settings/billing",
    "api.fireworks.ai": "https://app.fireworks.ai/account/billing",
    "api.x.ai": "https://console.x.ai",
    "api.cerebras.ai": "https://cloud.cerebras.ai",
    "api.perplexity.ai": "https://www.perplexity.ai/account/api/billing",
    "api.moonshot.ai": "https://platform.moonshot.ai/console/pay",
    "api.moonshot.cn": "https://platform.moonshot.cn/console/pay",
    "api.z.ai": "https://z.ai/manage-apikey/billing",
    "open.bigmodel.cn": "https://open.bigmodel.cn/finance/overview",
    "dashscope.aliyuncs.com": "https://usercenter2-intl.aliyun.com/billing",
    "dashscope-intl.aliyuncs.com": "https://usercenter2-intl.aliyun.com/billing",
    "api.cohere.ai": "https://dashboard.cohere.com/billing",
    "api.cohere.com": "https://dashboard.cohere.com/billing",
    "api.minimax.io": "https://platform.minimax.io/user-center/payment/balance",
    "router.huggingface.co": "https://huggingface.co/settings/billing",
}


def billing_page(base_url: str) -> str | None:
    """Return the page for the provider at an address; None where it is not known."""
    host = urlsplit(base_url).hostname or ""
    while host:
        if host in PAGES:
            return PAGES[host]
        host = host.partition(".")[2]
    return None
