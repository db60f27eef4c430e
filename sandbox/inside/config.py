"""The settings of a box, as the host gives them to its supervisor."""

from __future__ import annotations


class Config:
    """The host's configuration of the box: the JSON object in the supervisor's last argument."""

    def __init__(self, *, lifetime_seconds: float, output_chars: int, process_memory_mb: int = 0) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.output_chars = output_chars
        self.process_memory_mb = process_memory_mb
        """Memory limit of each process in MB, for boxes without a container; 0 means no limit."""
