"""Services that run from wheels and need no installation: Postgres."""

from .postgres import DATABASE, EmbeddedPostgres

__all__ = ["DATABASE", "EmbeddedPostgres"]
