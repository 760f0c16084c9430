"""What the words of an error mean: one table, a row for each kind, with the providers that use the words. Pure.

A status alone misleads: an empty account is reported as 400, 402, 403, 412 or 429, a full context by 400, 413, 422 or
500, an overload by 200, 400, 424, 429, 498 or 503. So the words count first, and the status where they say nothing. The
first row counts that has a code or a text of the error. Codes are whole words such as ``insufficient_quota``; texts are
patterns over the message in lower case.

The words are those of public documentation and of error messages that people quote in public threads, up to 2026.
"""

import re
from functools import cache
from typing import Final, Literal

from msgspec import Struct

Kind = Literal[
    "bad_key",  # the key is wrong, expired or disabled
    "no_credits",  # the account has nothing left
    "spent",  # a limit of the account or key is reached, and ends by itself
    "rate",  # too many requests or tokens for this key in this while
    "asks_too_much",  # this one request is above such a limit: a smaller one would pass
    "overloaded",  # there is no room for anybody right now
    "too_long",  # the prompt does not fit into the model's context
    "no_model",  # the provider does not have the model, or not for this account
    "cannot",  # this model or server does not take something: tools, pictures, thinking, a history, a format, a field
    "moderated",  # the content is refused
    "forbidden",  # this account is not allowed to, because of its place or its plan
    "too_large",  # the request has too many bytes
    "at_fault",  # no server would accept the request
    "crashed",  # the server failed, whatever its status says
]


class ErrorPhrase(Struct, frozen=True):
    """texts: a pattern; "" matches nothing."""

    kind: Kind
    codes: frozenset[str]
    texts: str


class PhraseMatch(Struct, frozen=True):
    """phrase: what was found, a code or the part of the text; in lower case."""

    kind: Kind
    phrase: str


def kind_of(text: str, codes: frozenset[str]) -> PhraseMatch | None:
    """Return what an error says by its text and codes, both in lower case; None: nothing that is known."""
    for saying in SAYINGS:
        for code in saying.codes:
            if code in codes:
                return PhraseMatch(saying.kind, code)
        found = _compiled(saying.texts).search(text) if text and saying.texts else None
        if found is not None:
            return PhraseMatch(saying.kind, found[0])
    return None


@cache
def _compiled(texts: str) -> re.Pattern[str]:
    return re.compile(texts)


def compile_words() -> None:
    """Compile the patterns, for some ten milliseconds: a start need not wait for them, nor the first failure."""
    for saying in SAYINGS:
        _compiled(saying.texts)


def _row(kind: Kind, codes: str, *texts: str) -> ErrorPhrase:
    return ErrorPhrase(kind, frozenset(codes.split()), "|".join(texts))


SAYINGS: Final[tuple[ErrorPhrase, ...]] = (
    # Google tells a rate by the words that OpenAI has for an empty account; these tell the two apart.
    _row(
        "no_credits",
        "insufficient_balance billing_not_active billing_hard_limit_reached insufficient_user_quota arrearage 1113 1008"
        " insufficient_funds not_enough_balance accountoverdueerror balance_insufficient billing_disabled"
        " invalid_payment_instrument exceeded_current_quota_error budget_exceeded billing_error 30001"
        " allocationquota.freetieronly",
        r"credit balance is (?:too low|insufficient)",  # Anthropic, by 400
        r"insufficient (?:account )?(?:balance|credits?|funds)",  # DeepSeek, MiniMax, Moonshot, Novita, OpenRouter
        r"(?:account )?balance is (?:insufficient|not enough|too low)|balance not enough",
        r"not enough (?:balance|credits?)",
        r"out of (?:credits?|funds)|no credits? (?:left|remaining)|doesn't have any credits",  # xAI, by 403
        r"used all (?:of )?(?:its |your |the )?available credits",
        r"credits? (?:is|are|have been) (?:exhausted|depleted)",
        r"prepa(?:id|yment) credits (?:are|have been) depleted",  # Gemini
        r"exceeded your (?:monthly )?included credits|exceeded your monthly .{0,20}credits",  # Hugging Face, by 402
        r"credit limit exceeded|billing hard limit",  # Together; OpenAI, by 400
        r"billing is not active|enable billing|billing to be enabled|requires billing",  # OpenAI; Google
        # Fireworks, by 412
        r"payment (?:is )?required|failure to pay|past due invoice|overdue (?:balance|payment|invoice)",
        r"account is in good standing|account .{0,80}is suspended|in arrears",  # DashScope, by 400; Moonshot, by 429
        r"payment is overdue|out of call volume quota",  # Azure, by 403
        r"budget has been exceeded|exceededbudget|over (?:its |your )?budget",  # LiteLLM, by 400
        r"free tier of the model has been exhausted|please recharge|请充值|余额不足|额度不足|欠费",
    ),
    _row(
        "asks_too_much",
        "weight_exceeds_budget",
        # Groq, by 413; OpenAI, 429
        r"request too large for (?:model|gpt|o\d).{0,200}(?:tokens|requests|tpm|rpm|per min)",
        r"fewer max_tokens",  # OpenRouter, by 402
    ),
    _row(
        "spent",
        "openrouter_key_limit openrouter_guardrail_budget openrouter_workspace_budget 1308 1310 2056"
        " usage_limit_reached",
        r"key limit exceeded",  # OpenRouter, by 403
        r"reached your specified api usage limits|will regain access",  # Anthropic, by 400
        r"usage limit (?:has been )?(?:reached|exceeded)",
        r"(?:reached|exceeded) (?:your|the|its) (?:\w+ ){0,3}(?:usage|spend(?:ing)?) limit",
        r"(?:daily|weekly|monthly) (?:free )?(?:usage |spend(?:ing)? |request )?(?:limit|allocation|"
        r"quota) (?:has been |is |was )?(?:reached|exceeded|exhausted|used up)",
        r"used up your daily free allocation",  # Cloudflare
        r"limited to \d+ api calls / month",  # Cohere's trial keys
    ),
    _row(
        "moderated",
        "content_policy_violation content_filter responsibleaipolicyviolation moderation moderation_blocked refusal"
        " data_inspection_failed datainspectionfailed content_moderation prohibited_content sensitive_words_detected"
        " censorship_blocked inputtextsensitivecontentdetected outputtextsensitivecontentdetected"
        " sensitivecontentdetected 1301 1026 1027 safety blocklist spii recitation",
        # Azure; Anthropic
        r"content management policy|triggering azure openai's content|content filter(?:ing)? policy",
        r"(?:rejected|blocked|flagged|filtered|refused) .{0,60}(?:safety|moderation|policy|policies|content filter|"
        r"usage guidelines)",
        r"flagged as potentially violating",
        r"violat(?:es|ed|ing) (?:our |the |xai's |google's )?.{0,30}(?:usage (?:policy|policies|guidelines)|"
        r"responsible ai|content polic|safety polic)",
        r"requires moderation|input was flagged",  # OpenRouter, by 403
        r"content exists risk",  # DeepSeek, by 400
        r"inappropriate content|considered high risk|risky content",  # DashScope, Moonshot; by 400
        r"(?:input|output) new_sensitive|sensitive content|unsafe or sensitive|不安全|敏感",  # MiniMax, Z.ai
        # Gemini; Bedrock
        r"prohibited_content|prompt (?:was|has been) blocked|response was blocked|blocked by our content",
        r"safety_check_type|failed check: safety|goes against our terms",  # xAI, by 403
    ),
    _row(
        "too_long",
        "context_length_exceeded max_tokens_exceeded token_limit_exceeded exceed_context_size_error"
        " tokens_limit_reached model_max_prompt_tokens_exceeded string_too_long context_too_large"
        " contextwindowexceedederror 1261 context_window_exceeded model_context_window_exceeded",
        # OpenAI, vLLM, llama.cpp, Anthropic
        r"maximum context|max(?:imum)? context|context[ _](?:length|window|size|limit)",
        r"context the overflows|context overflow|tokens to keep from the initial prompt",  # LM Studio
        r"(?:maximum|max) (?:allowed )?(?:prompt|input|sequence|model) length",  # xAI, Poolside
        # Anthropic, Bedrock
        r"(?:prompt|input|request|query|conversation|message) (?:\([^)]{0,60}\) )?(?:is|was|are) too long",
        r"too many (?:input )?tokens:? (?:total|in the (?:prompt|request))|too many input tokens",  # Cohere; Bedrock
        r"input token count .{0,60}exceeds|(?:prompt|input) token count of \d+ exceeds",  # Gemini; Copilot
        r"must have less than \d+ tokens|`?inputs`? tokens \+ `?max_new_tokens`? must be",  # TGI, Together
        # vLLM, SGLang
        r"longer than the (?:maximum )?model(?:'s)? (?:maximum )?(?:context )?length",
        r"longer than the model's context",
        r"requested token count exceeds|exceeded model token limit|input token length too long",  # SGLang; Moonshot
        r"range of input length should be",  # DashScope
        r"prompt exceeds max length|prompt 超长|超出最大长度",  # Z.ai
        r"reduce the length of the (?:input )?(?:messages|prompt|either)",  # Groq, Cerebras, OpenRouter
        r"current length is \d+ while limit is",  # Cerebras
        r"max size: \d+ tokens|tokens_limit_reached",  # GitHub Models, by 413
        r"maximum input length is \d+ tokens|input length \d+ exceeds",
        r"(?:input|prompt) (?:tokens )?exceeds? the (?:configured |maximum |model'?s? |token )?limit",
        r"prompt has \d+ tokens, but|prompt contains \d+ tokens",  # AI21, Mistral
    ),
    _row(
        "no_model",
        "model_not_found model_deprecated no_endpoints wrong_endpoint model_decommissioned deploymentnotfound"
        " invalid_model model_not_available modelnotfound 1211 free_variant_ended model_not_supported unknown_model"
        " model_not_exist no_available_channel resource_not_found_error",
        r"is not a valid model id|not a valid model|invalid model(?: name| identifier)?(?: passed)?\b(?! output)",
        r"model(?: identifier| code| name|: ?| )?[^.\n]{0,120}?(?:does not exist|doesn't exist|not exist|not found|"
        r"is not available|no longer (?:available|supported)|has been (?:decommissioned|deprecated|retired|removed|"
        r"shut ?down|disabled)|is deprecated|is retired|was not found)",
        r"not found the model|unable to access model|unknown model|model_not_found|unexpected model name format",
        # Bedrock
        r"model identifier is invalid|(?:don't|do not) have access to (?:the |this )?model",
        r"on-demand throughput isn.t supported",
        r"api deployment for this resource does not exist",  # Azure
        r"no (?:available channel|endpoints found for|deployments? available|instances available|models? loaded)",
        r"failed to load model",
        r"^404 not_found$",
        r"end of (?:its )?life|marked by provider as legacy",  # Bedrock, NVIDIA
        r"permission to access (?:the |this |tuned )*model|not allowed to access (?:the |this )?model",
        r"无可用渠道|模型不存在",
    ),
    _row(
        "bad_key",
        "invalid_api_key api_key_invalid api_key_expired invalidapikey invalid_authentication_error"
        " authentication_error account_deactivated unauthenticated access_token_expired account_state_invalid"
        " consumer_suspended 2049 unrecognizedclientexception expiredtokenexception invalid_token"
        " token_not_found_in_db invalid_auth"
        " invalid_access_token api_key_service_blocked service_disabled",
        r"api[ -]?key (?:is |was )?(?:not valid|invalid|expired|not found|incorrect|disabled|revoked|blocked)",
        r"api key (?:you )?provided is (?:invalid|incorrect)",
        # OpenAI, xAI (400), Cohere
        r"(?:invalid|incorrect|wrong|unknown|expired|revoked|missing|no) (?:x-)?api[ -]?(?:key|token)\b",
        r"invalid (?:authentication|auth|credentials|access token|bearer token|subscription key|"
        r"username or password)",
        # DeepSeek
        r"authentication (?:fails|failed|error|required)|could not (?:be )?authenticate|not authenticated",
        # OpenRouter; Bedrock
        r"no (?:cookie )?auth credentials|missing authentication|security token included in the request is",
        r"(?:organization|account|key|project|user) (?:associated .{0,60})?(?:has been|is|was) (?:disabled|"
        r"deactivated|banned|terminated|suspended)",
        r"key was reported as leaked|login fail|token (?:expired|has expired|is expired) or incorrect",
        r"token is (?:invalid|expired)",
        r"user not found\.",  # OpenRouter
    ),
    _row(
        "overloaded",
        "overloaded_error overloaded engine_overloaded engine_overloaded_error provider_overloaded capacity_exceeded"
        " service_tier_capacity_exceeded 3505 1305 1312 queue_exceeded modelnotreadyexception capacity_exhausted"
        " slow_down server_overloaded resource_temporarily_unavailable system_overloaded unavailable_error"
        " temporarily_unavailable service_unavailable_error unavailable",
        r"overloaded|over(?:-| )?capacity|at (?:maximum |full )?capacity|capacity (?:temporarily )?exceeded",
        r"tier capacity",
        r"(?:service|server|system|model|engine) is (?:currently |temporarily |too )*(?:busy|unavailable|"
        r"overwhelmed)",
        r"server busy",
        r"high (?:traffic|demand) right now|due to high demand|experiencing (?:very )?high (?:traffic|demand|load)",
        r"temporarily unavailable|queue is full|maximum pending requests|no slots? available",
        r"unable to process your request",
        r"no (?:available|healthy|eligible) (?:model )?(?:providers?|endpoints?|deployments?|upstreams?|workers?)"
        r"(?: is| are)? ?(?:available|that meets|for|$)|no (?:model )?providers? (?:is |are )?(?:currently )?available",
        r"(?:is currently|still) loading|loading model|model is not ready",  # Hugging Face; llama.cpp
        r"访问量过大|系统繁忙|请稍后再试",
    ),
    _row(
        "rate",
        "rate_limit_exceeded rate_limit_error rate_limit_reached_error resource_exhausted ratelimitexceeded 1302 1303"
        " userratelimitexceeded throttlingexception throttling throttling.ratequota throttling.allocationquota"
        " limit_requests limit_burst_rate too_many_requests too_many_requests_error toomanyrequestsexception 1039 1041"
        " ratelimitreached rate_limited ratelimiterror ratelimit tokens_usage_based 3040",
        r"rate[ -_]?limit|too many (?:requests|connections|tokens)|requests? per (?:minute|second|hour|day)",
        r"tokens per min",
        r"throttl|request frequency|high-frequency|concurren(?:cy|t requests?) (?:limit|exceeded)",
        r"exceeded .{0,40}concurrency",
        # Google; Azure; Cloudflare
        r"quota exceeded for|exceeded .{0,40}(?:call rate|per-minute|rate quota)|error code: 1015",
        r"#token-limit|频率|频繁|速率限制",  # DashScope, which says that the quota is exceeded; others
    ),
    _row(
        "no_credits",
        "insufficient_quota payment_required",
        r"exceeded your current quota",  # OpenAI, Perplexity (by 401)
    ),
    _row(
        "forbidden",
        "unsupported_country_region_territory region_restricted privacy_restricted",
        r"(?:user )?location is not supported|country, region, or territory not supported",
        r"not available in your (?:country|region)",
        r"only management keys",
    ),
    _row(
        "too_large",
        "request_too_large payload_too_large string_above_max_length",
        r"(?:request|payload|body|file|image|entity) (?:entity |payload |body |size )?(?:is |was )?(?:too large|"
        r"exceeds (?:the )?(?:maximum|max|limit|size|\d))",
        r"exceeds the (?:maximum )?(?:allowed )?(?:size|limit of \d+ bytes)|exceeds \d+ ?mb maximum",
        r"payload size exceeds",
    ),
    _row(
        "crashed",
        "enginedeaderror modelerrorexception internal_error internalerror internalservererror internalserverexception",
        r"(?:has |was |model |process )(?:crashed|terminated)|out of memory|cuda error|ran out of (?:cache|memory)",
        r"engine(?:core)? (?:is |has )?(?:dead|died|encountered)|failed during generation",
        r"model (?:is |was |has been )?unloaded",
        r"internal (?:server )?error|upstream connect error|connection (?:refused|reset|error)|bad gateway",
    ),
    _row(
        "cannot",
        "unsupported_value unsupported_parameter unsupported_content_type tool_use_failed extra_forbidden"
        " constraint_filtered unsupported_model unsupported_feature invalid_encrypted_content",
        # tools, pictures, thinking, formats and fields: Ollama, OpenAI, Groq, Bedrock, Gemini, Mistral, vLLM, xAI
        r"(?:not|n't|n.t|never) (?:currently |yet )?(?:support|enabled|accept|permitted|implemented)",
        r"unsupported|not (?:a )?multi-?modal",
        r"only (?:supported|available|allowed) (?:by|for|with|in|on|when)|only supports?|only the default",
        r"only (?:\w+ ){0,3}(?:is|are) supported",
        r"(?:unknown|unrecognized|unexpected|invalid) (?:name|parameter|field|argument|request argument|keys?|"
        r"variant|keyword|role)",
        r"unknown .{0,20}(?:parameter|field|argument)|cannot find field|no such field|extra (?:inputs|fields)",
        r"additional properties",
        r"requires? (?:--|the )[\w-]*(?:enable|jinja|tool)|requires --|must be verified to",  # vLLM, llama.cpp
        r"content must be a string|value must be a string|missing data required for image|mmproj",
        r"image\(s\) may be provided",
        # what one model wrote, another does not take back: DeepSeek, Gemini, Anthropic, OpenAI, Mistral
        r"reasoning_content|thought_?signature|`?signature`? in `?thinking|redacted_thinking",
        r"thinking (?:mode|block|budget)|encrypted content",
        r"without its required (?:following|preceding) item|tool call id was .{0,80}but must be",
        r"function response parts",
        r"roles? must (?:be )?alternat|should alternate|alternate between|expected last role|unexpected role",
        r"successive user|prefill",
        r"function call turn comes|after a user turn|must end with a user message|string should match pattern",
        r"no endpoints found that support|failed to call a function|must contain the word .?json",
        r"schema (?:is |produces |has )?too (?:complex|many|large|deep)",
        r"(?:max_tokens|max_completion_tokens|max_output_tokens|maxoutputtokens)[^.]{0,60}(?:too (?:large|high)|"
        r"at most|exceeds|must be less|<=|range|supports)",
    ),
    _row(
        "at_fault",
        "invalid_json invalid_json_schema invalid_function_parameters missing_required_parameter json_invalid",
        r"(?:parse|decode|decoding|deserialize|invalid|malformed) (?:the |your )?(?:request )?(?:json|body)",
        r"json (?:parse|decode|parsing) error",
        r"missing required|missing field|field required|is a required property|required propert(?:y|ies)",
        r"must provide a",
        r"invalid schema for|invalid json schema|schema must",
        r"invalid type for|expected .{0,60} but got (?:a|an) |is not of type",
        r"must be a response to a preceding|must be followed by tool messages|without `?tool_result",
        r"unexpected `?tool_use_id",
        r"at least one message|messages.{0,20}(?:is|are|must not be|cannot be) empty|too few items|is too short",
        r"contents is not specified",
    ),
)
