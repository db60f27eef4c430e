"""The settings of circuits. An endpoint may have its own. Times are in seconds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CircuitSettings(BaseModel):
    """The rules by which a model counts as failing: after consecutive failures for some time, or at a share of a
    window's calls.

    Failures are broken connections, silence, HTTP 5xx, 401 to 404 and an exhausted account. A request that is
    refused for its content is not a failure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    in_a_row: int = Field(default=8, ge=1)
    for_seconds: float = Field(default=10, ge=0)
    share: float = Field(default=0.5, gt=0, le=1)
    window: int = Field(default=60, ge=1, le=3600)
    least_calls: int = Field(default=30, ge=1)
    first_wait: float = Field(default=5, gt=0)
    longest_wait: float = Field(default=300, gt=0)

    def wait(self, probes: int) -> float:
        """Returns the seconds until the next probe, given the number of failed probes."""
        return min(self.longest_wait, self.first_wait * 2.0 ** min(probes, 30))
