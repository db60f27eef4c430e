"""Large texts, each stored once by its content and outside the rows that lists and figures read.

Text from models and sandboxes is hostile. Postgres cannot hold NUL bytes and lone surrogates; they are escaped
reversibly. U+001A (SUBSTITUTE) begins an escape of four hex digits and is escaped itself.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from typing import Any

from django.db import connection, models
from django.db.backends.base.base import BaseDatabaseWrapper

_UNSTORABLE = re.compile("[\x00\x1a\ud800-\udfff]")
_ESCAPE = re.compile("\x1a([0-9a-f]{4})")


def escape(text: str) -> str:
    """Returns `text` in a form that Postgres can hold. `unescape` reverses it."""
    return _UNSTORABLE.sub(lambda found: f"\x1a{ord(found[0]):04x}", text)


def unescape(text: str) -> str:
    """Returns the original of an escaped text."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def storable(value: Any) -> Any:
    """Returns a JSON value with all strings escaped, because JSONB refuses NUL."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {escape(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no NaN and no infinity
    return value


def unstorable(value: Any) -> Any:
    """Returns the original of a value that `storable` escaped."""
    if isinstance(value, str):
        return unescape(value)
    if isinstance(value, dict):
        return {unescape(key): unstorable(item) for key, item in value.items()}
    return [unstorable(item) for item in value] if isinstance(value, list) else value


def digest(text: str) -> str:
    """Returns a text's name, the SHA-256 of its UTF-8 form in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Sha256Field(models.Field):  # type: ignore[type-arg]  # not subscriptable at run time
    """A SHA-256 digest: hex in Python and in URLs, 32 bytes in the database."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "bytea"

    def get_prep_value(self, value: Any) -> bytes | None:
        return None if value is None else bytes.fromhex(value)

    def from_db_value(self, value: bytes | None, expression: object, connection: object) -> str | None:
        return None if value is None else bytes(value).hex()


TEXTS_LOCK = 0x524C4D04
"""Number of the advisory lock of texts. Writers share it; a deletion holds it exclusively while it removes
texts.
"""
SHARE_TEXTS = f"SELECT pg_advisory_xact_lock_shared({TEXTS_LOCK})"


def share_texts() -> None:
    """Keeps old and new texts from being removed until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(SHARE_TEXTS)


class TextQuerySet(models.QuerySet["Text"]):
    """Writing and reading of texts by content."""

    def keep(self, bodies: Iterable[str]) -> list[str]:
        """Stores the texts that are not stored yet. Returns the digests in the order of the bodies."""
        named = [(digest(body), body) for body in bodies]
        share_texts()
        # Sorted, so that two writers of the same texts lock them in the same order.
        rows = [Text(sha256=key, body=escape(body), chars=len(body)) for key, body in sorted(dict(named).items())]
        self.bulk_create(rows, ignore_conflicts=True)
        return [key for key, _ in named]

    def read(self, digests: Iterable[str]) -> dict[str, str]:
        """Returns a map of digest → original text, for the texts that exist."""
        rows = self.filter(sha256__in=set(digests)).values_list("sha256", "body")
        return {key: unescape(body) for key, body in rows}


class Text(models.Model):
    """One text. `body` is escaped: read it through `text`."""

    sha256 = Sha256Field(primary_key=True)
    body = models.TextField()
    chars = models.PositiveBigIntegerField(help_text="Characters of the text as it was.")

    objects = TextQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.sha256)[:12]

    @property
    def text(self) -> str:
        """The original text."""
        body: str = self.body
        return unescape(body)
