"""The API's errors, in the shape in which OpenAI's API sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class ApiError(Exception):
    """An answer other than 200."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None

    def body(self) -> dict[str, Any]:
        """Returns the JSON body."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


def bad_request(message: str, *, param: str | None = None) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, message, param=param)


def context_length_exceeded(*, window: int, tokens: int) -> ApiError:
    """400: the prompt is longer than the model's window."""
    message = (
        f"This model's maximum context length is {window} tokens. However, your messages resulted in "
        f"{tokens} tokens. Please reduce the length of the messages."
    )
    return ApiError(400, message, param="messages", code="context_length_exceeded")


def invalid_api_key() -> ApiError:
    """401: no key, or not the one that was configured."""
    return ApiError(401, "Incorrect API key provided.", code="invalid_api_key")


def model_not_found(model: str) -> ApiError:
    """404: there is one model here."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, param="model", code="model_not_found")


def unknown_url(*, method: str, path: str) -> ApiError:
    """404: no such endpoint."""
    return ApiError(404, f"Invalid URL ({method} {path})", code="unknown_url")


def rate_limited(*, retry_after: float) -> ApiError:
    """429, injected."""
    message = f"Rate limit reached for demo-model on requests. Please try again in {retry_after:g}s."
    return ApiError(429, message, type="requests", code="rate_limit_exceeded", retry_after=retry_after)


def server_error() -> ApiError:
    """500, injected."""
    message = "The server had an error while processing your request. Sorry about that!"
    return ApiError(500, message, type="server_error")
