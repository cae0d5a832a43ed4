"""What a failed call means: for the key, the account, the model, one text, or only this moment.

A status alone does not tell: gateways report a filtered text as HTTP 400, 403, 422 or 451, and a
spent account as 402, 403 or 429. So codes and words of the message are read too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

Scope = Literal["key", "quota", "model", "text", "moment", "request"]
"""What a failure is about.

``key``, ``quota``, ``model``: no other text would fare better. ``text``: a content filter declined
this text. ``moment``: another try may succeed. ``request``: the server does not accept the request
as it is (a response format that it does not know, a text that is too long).
"""


class Problem(NamedTuple):
    """A failed call, however it was reported."""

    message: str
    status: int | None
    """HTTP status; None for a reply with status 200 whose error names none."""
    codes: frozenset[str] = frozenset()
    """Error codes and types, in lower case."""
    headers: Mapping[str, str] = {}


class Verdict(NamedTuple):
    """What a failed call is about, and what its kind is called in reports."""

    scope: Scope
    kind: str
    wait: float | None = None
    """Seconds that the server asks to wait."""
    certain: bool = True
    """False: a 403 that names no reason. It is about the key unless the key has worked before."""


_FILTER_CODES = {
    "content_filter",
    "content_policy_violation",
    "content_moderation",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "moderation",
    "moderation_blocked",
    "safety",
    "sensitive_content",
}
_FILTER_WORDS = re.compile(
    r"content[ _-]?(management )?(filter|policy|policies|moderation|safety)|moderation|"
    r"\bflagged\b|inappropriate content|harmful content|usage polic|responsible ai|"
    r"safety (system|filter|policy|settings|reasons)|prohibited content|unsafe content",
    re.IGNORECASE,
)
_QUOTA_CODES = {
    "insufficient_quota",
    "insufficient_balance",
    "billing_hard_limit_reached",
    "billing_not_active",
    "credit_limit_reached",
}
_SPENT = (
    r"insufficient[ _](quota|balance|credit|funds)|(credit|balance|budget)[\w ]{0,20}"
    r"(exceeded|exhausted|too low|depleted)"
)
_SPENT_WORDS = re.compile(_SPENT, re.IGNORECASE)
_QUOTA_WORDS = re.compile(rf"{_SPENT}|more credits|payment required|\bbilling\b", re.IGNORECASE)
_KEY_CODES = {"invalid_api_key", "authentication_error", "unauthorized", "unauthenticated"}
_KEY_WORDS = re.compile(
    r"(incorrect|invalid|missing|wrong|expired|revoked|no) (api|auth)[ _-]?(key|token|credential)|"
    r"(api[ _-]?key|token) (is )?(not valid|invalid|missing|expired|required)",
    re.IGNORECASE,
)
_MODEL_CODES = {
    "model_not_found",
    "invalid_model",
    "model_not_available",
    "model_not_supported",
    "deploymentnotfound",
}
_MODEL_WORDS = re.compile(
    r"(invalid|unknown|no such|unsupported) model( name| id)?\b|"
    r"model\b[^.]{0,80}\b(does not exist|not found|is not available|not a valid model)",
    re.IGNORECASE,
)
_BUSY_CODES = {"rate_limit_exceeded", "rate_limit_error", "too_many_requests", "overloaded_error"}


def classify(problem: Problem) -> Verdict:
    """Say what a failed call is about."""
    status, codes, message = problem.status, problem.codes, problem.message
    refused_input = status is None or (400 <= status < 500 and status not in (401, 404, 429))
    if codes & _FILTER_CODES or (refused_input and _FILTER_WORDS.search(message)):
        return Verdict("text", "refusal")
    if status == 401 or codes & _KEY_CODES:
        return Verdict("key", "refused key")
    if status == 402 or codes & _QUOTA_CODES:
        return Verdict("quota", "no quota")
    if status == 400 and _SPENT_WORDS.search(message):
        return Verdict("quota", "no quota")
    if status == 403 and _QUOTA_WORDS.search(message):
        return Verdict("quota", "no quota")
    if status == 403:
        return Verdict("key", "HTTP 403", certain=bool(_KEY_WORDS.search(message)))
    if status == 429 or codes & _BUSY_CODES:
        return Verdict("moment", "rate limit", wait=retry_after(problem.headers))
    if status in (400, None) and _KEY_WORDS.search(message):
        return Verdict("key", "refused key")
    if status == 404 or codes & _MODEL_CODES:
        return Verdict("model", "no such model")
    if status in (400, 422) and _MODEL_WORDS.search(message):
        return Verdict("model", "no such model")
    if status is None:
        return Verdict("moment", "unusable reply", wait=retry_after(problem.headers))
    if status >= 500 or status in (408, 409, 425):
        return Verdict("moment", "server error", wait=retry_after(problem.headers))
    return Verdict("request", f"HTTP {status}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from ``retry-after-ms`` or ``Retry-After``."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = (headers.get("retry-after") or "").strip()
        if not value:
            return None
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None
