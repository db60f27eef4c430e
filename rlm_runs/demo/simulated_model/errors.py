"""The API's errors, in the form in which OpenAI's API sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class ApiError(Exception):
    """A response other than 200."""

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
    """Returns 400: the request is invalid."""
    return ApiError(400, message, param=param)


def context_length_exceeded(*, window: int, tokens: int) -> ApiError:
    """Returns 400: the prompt is longer than the model's window."""
    message = (
        f"This model's maximum context length is {window} tokens. However, your messages resulted in "
        f"{tokens} tokens. Please reduce the length of the messages."
    )
    return ApiError(400, message, param="messages", code="context_length_exceeded")


def invalid_api_key() -> ApiError:
    """Returns 401: the key is missing or differs from the configured one."""
    return ApiError(401, "Incorrect API key provided.", code="invalid_api_key")


def model_not_found(model: str) -> ApiError:
    """Returns 404: the server has only one model."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, param="model", code="model_not_found")


def unknown_url(*, method: str, path: str) -> ApiError:
    """Returns 404: there is no such endpoint."""
    return ApiError(404, f"Invalid URL ({method} {path})", code="unknown_url")


def rate_limited(*, retry_after: float) -> ApiError:
    """Returns an injected 429."""
    message = f"Rate limit reached for demo-model on requests. Please try again in {retry_after:g}s."
    return ApiError(429, message, type="requests", code="rate_limit_exceeded", retry_after=retry_after)


def server_error() -> ApiError:
    """Returns an injected 500."""
    message = "The server had an error while processing your request. Sorry about that!"
    return ApiError(500, message, type="server_error")
