"""Configuration of the `openai` masker."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.families import HIDDEN_INPUT, NOT_IN_KEY, PluginConfig
from harness_maskers.openai.budget import known_price


class OpenAIConfig(PluginConfig):
    """Which model is asked, how, and at what cost. The key comes from the environment only."""

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str = Field("gpt-4o-2024-08-06", min_length=1, description="its name on the server")
    base_url: str | None = Field(
        None,
        description="address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1; "
        "default: OPENAI_BASE_URL, else OpenAI. Answers of different hosts or ports are kept apart",
    )
    temperature: float | None = Field(0.0, ge=0, le=2, description="null: not sent")
    sampling_seed: int | None = Field(0, description="seed sent to the server; null: not sent")
    max_answer_tokens: int = Field(400, ge=16, description="longest answer")
    answer_limit: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="the server's name for that limit (newer models: the second)"
    )
    asks: int = Field(
        3,
        ge=1,
        description="answers to ask for; if none is usable, it is malformed",
    )
    prompt_version: Literal["1"] = Field("1", description="version of prompt and schema")
    max_concurrency: int = Field(
        8, ge=1, le=256, description="calls in progress at once", json_schema_extra=NOT_IN_KEY
    )
    timeout: float = Field(
        60.0,
        gt=0,
        description="seconds without a reply after which a call has failed",
        json_schema_extra=NOT_IN_KEY,
    )
    retries: int = Field(
        5,
        ge=0,
        description="further attempts after a rate limit, timeout or other failed call",
        json_schema_extra=NOT_IN_KEY,
    )
    backoff: float = Field(
        1.0,
        ge=0,
        description="seconds before the first retry; doubles, with jitter",
        json_schema_extra=NOT_IN_KEY,
    )
    max_wait: float = Field(
        120.0,
        ge=0,
        description="longest wait, seconds; if Retry-After is longer, the call has failed",
        json_schema_extra=NOT_IN_KEY,
    )
    max_cost: float | None = Field(
        None,
        gt=0,
        description="US dollars that masking one set of passages may cost; never exceeded",
        json_schema_extra=NOT_IN_KEY,
    )
    price_in: float | None = Field(
        None,
        ge=0,
        description="US dollars per million prompt tokens; default: from a table of known models",
        json_schema_extra=NOT_IN_KEY,
    )
    price_out: float | None = Field(
        None,
        ge=0,
        description="US dollars per million answer tokens; default: from a table of known models",
        json_schema_extra=NOT_IN_KEY,
    )
    on_refusal: Literal["unmasked", "error"] = Field(
        "unmasked",
        description="unmasked: a refused passage stays unmasked and counts towards "
        "max_failed_share; error: it ends the masking",
    )
    max_failed_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of passages without a usable answer above which masking fails",
    )

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                server_of(value)
            except ValueError as error:
                raise PydanticCustomError(HIDDEN_INPUT, str(error)) from None
        return value

    @model_validator(mode="after")
    def _priced(self) -> OpenAIConfig:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out go together: give both or neither")
        if self.max_cost is not None and self.price is None:
            raise ValueError(
                f"max_cost needs a price, and none is known for model '{self.model}'; give "
                "price_in and price_out"
            )
        return self

    @property
    def price(self) -> tuple[float, float] | None:
        """Return US dollars per million tokens in and out, or None if unknown."""
        if self.price_in is not None and self.price_out is not None:
            return self.price_in, self.price_out
        return known_price(self.model)


def server_of(base_url: str) -> str:
    """Return the host and port of a server.

    Raises:
        ValueError: not an http(s) address, or one that may hold a secret. The message never shows
            the address.
    """
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{_ADDRESS} (its host or port cannot be read)") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "must contain no user name or password, because it is written into records; the "
            "key belongs in OPENAI_API_KEY"
        )
    if parts.query or parts.fragment or "?" in base_url:
        raise ValueError(
            "must contain no query and no fragment ('?…', '#…'), because it is written into "
            "records; the key belongs in OPENAI_API_KEY"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(_ADDRESS)
    return parts.hostname + (f":{port}" if port is not None else "")


_ADDRESS = "must be an http or https address, such as http://127.0.0.1:8000/v1"
