"""Texts of any content are stored losslessly."""

from __future__ import annotations

import hashlib
import json

import pytest
from django.db import connection

from rlm_runs.models import Text
from rlm_runs.models.texts import escape, storable, unescape

HOSTILE = [
    "",
    "plain",
    "NUL \x00 in the middle",
    "lone \ud800 and \udfff surrogates",
    "\x1a",
    "\x1a0000 looks like an escape",
    "\x1a\x1a\x00\x1a001a",
    "every control character: " + "".join(map(chr, range(32))),
    "<script>alert(1)</script>",
    "𝄞 and e\u0301",
    "x" * 2_000_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaping_is_reversible(text):
    assert unescape(escape(text)) == text
    assert "\x00" not in escape(text)
    escape(text).encode()  # no surrogate is left


def test_plain_text_is_stored_as_it_is():
    assert escape("C:\\u0000 {}\n\t") == "C:\\u0000 {}\n\t"


@pytest.mark.django_db
def test_hostile_texts_survive_the_database():
    keys = Text.objects.keep(HOSTILE)
    assert len(set(keys)) == len(HOSTILE)
    assert Text.objects.read(keys) == dict(zip(keys, HOSTILE, strict=True))
    assert Text.objects.get(pk=keys[2]).text == HOSTILE[2]


@pytest.mark.django_db
def test_a_text_is_kept_once_under_its_own_sum():
    first = Text.objects.keep(["a", "b", "a"])
    again = Text.objects.keep(["b"])
    assert first[0] == first[2] == hashlib.sha256(b"a").hexdigest()
    assert again == [first[1]]
    assert Text.objects.count() == 2


@pytest.mark.django_db
def test_json_with_nul_and_surrogates_can_be_stored():
    value = storable({"k\x00": ["\ud83d", {"n": float("nan")}, 1, None, True]})
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb", [json.dumps(value)])
        assert cursor.fetchone() is not None
