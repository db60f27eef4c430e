"""Services that run from wheels, so that nothing has to be installed: Postgres."""

from .postgres import DATABASE, EmbeddedPostgres

__all__ = ["DATABASE", "EmbeddedPostgres"]
