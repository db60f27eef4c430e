"""Options of the simulated model: latency, failures, the longest prompt, a required key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoOptions:
    """Options of one server. Latency and jitter are in seconds, `window` in tokens, failures in shares."""

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 7
    latency: float = 0.0
    jitter: float = 0.0
    """The maximum number of seconds added to `latency`. The request's hash determines the share."""
    fail_429: float = 0.0
    fail_500: float = 0.0
    retry_after: float = 1.0
    """Seconds in the `Retry-After` header of a 429."""
    window: int = 16_000
    api_key: str | None = None
    """The required key; None to accept any key, or none."""

    def __post_init__(self) -> None:
        if min(self.latency, self.jitter, self.fail_429, self.fail_500, self.retry_after) < 0:
            raise ValueError("latency, jitter, failure shares and retry_after must not be negative")
        if self.fail_429 + self.fail_500 > 1:
            raise ValueError("fail_429 and fail_500 must not add up to more than 1")
        if self.window < 1:
            raise ValueError("window must be at least 1 token")
