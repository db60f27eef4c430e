"""Formats numbers and hostile text for readers, with no more digits than are meaningful and nothing invisible."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from html import escape

from rlm_runs.analysis.statistics import Interval
from rlm_runs.models.texts import unescape

DASH = "–"
_LOPSIDED = 0.75
"""The ratio of an interval's two sides below which its limits are shown instead of ±."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Returns `text` with hidden characters made visible, encodable as UTF-8.

    Control characters become pictures (␀), lone surrogates and direction marks their numbers.
    """
    return _HIDDEN.sub(_picture, text.replace("\r\n", "\n"))


def _picture(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x20:
        return chr(0x2400 + number)
    return "␡" if number == 0x7F else f"⟨U+{number:04X}⟩"


def no_formula(text: str) -> str:
    """Returns `text` for a cell of a CSV file, after an apostrophe if a spreadsheet would read it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def count(number: float | None) -> str:
    """Returns a count with three significant digits, such as 950, 9,500, 75.5k or 1.24M."""
    if number is None:
        return DASH
    if abs(number) >= 999_950:
        return f"{number / 1e6:.2f}M" if abs(number) < 9.995e6 else f"{number / 1e6:,.1f}M"
    if abs(number) >= 9_999.5:
        return f"{number / 1e3:.1f}k"
    return f"{number:,.0f}"


def whole(number: int) -> str:
    """Returns a count in full, such as 1,234,567."""
    return f"{number:,}"


def mean(number: float | None) -> str:
    """Returns a mean of counts, with one decimal while it is small."""
    if number is None:
        return DASH
    return f"{number:.1f}".removesuffix(".0") if abs(number) < 100 else count(number)


def exact(number: float | None) -> str:
    """Returns a number in full, for tooltips."""
    if number is None:
        return "not known"
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.2f}"


def significant(number: float | None) -> str:
    """Returns a number with four significant digits, such as 0.02, 0.0704, 12.5 or 75,454."""
    if number is None:
        return DASH
    if abs(number) >= 1000:
        return f"{number:,.0f}".replace("-", "−")
    text = f"{number:.4g}" if abs(number) >= 1e-4 or number == 0 else f"{number:.1e}"
    return text.replace("-", "−")


def alike(numbers: Sequence[float | None]) -> list[str]:
    """Returns numbers of one kind with the same decimals, as many as suit the largest: 0.043, 0.008, 0.210.

    The largest gets four significant digits, or three below 1, so that limits near 0 do not suggest more
    precision.
    """
    largest = max((abs(number) for number in numbers if number is not None), default=0.0)
    order = math.floor(math.log10(largest)) if largest else 0
    places = max(0, (3 if largest >= 1 else 2) - order) if largest else 0
    return [DASH if number is None else f"{number:,.{places}f}".replace("-", "−") for number in numbers]


def dollars(cost: Decimal | None) -> str:
    """Returns an amount such as $0.0132 or $31.20: three significant digits below a dollar, else cents.

    None is "unpriced".
    """
    if cost is None:
        return "unpriced"
    if cost == 0:
        return "$0"
    if abs(cost) >= 1:
        return f"${cost:,.2f}"
    places = min(10, 2 - math.floor(math.log10(abs(cost))))
    return f"${cost:.{places}f}"


def beyond(theirs: Decimal, ours: Decimal) -> str:
    """Returns the difference of two amounts: "equal", or "+$0.0012, +4.1 %"."""
    if theirs == ours:
        return "equal"
    sign = "+" if theirs > ours else "−"
    gap = abs(theirs - ours)
    share = f", {sign}{gap / ours * 100:.1f} %" if ours else ""
    return f"{sign}{dollars(gap)}{share}"


def duration(seconds: float | None) -> str:
    """Returns a duration, such as 4 ms, 0.42 s, 4.2 s, 42 s, 2 m 14 s or 1 h 02 m."""
    if seconds is None:
        return DASH
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def rate(per_second: float) -> str:
    """Returns a rate, such as 4.2, 42 or 4,200."""
    return f"{per_second:.1f}" if per_second < 9.95 else f"{per_second:,.0f}"


def score(value: float | None) -> str:
    """Returns a reward with two decimals, or without decimals if it is whole."""
    if value is None:
        return DASH
    return f"{value:.0f}" if value in (0, 1) else f"{value:.2f}"


def percent(share: float) -> str:
    """Returns a share, such as 24 %. A share that is neither 0 nor 1 is never rounded to them."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def signed(number: float) -> str:
    """Returns a signed number, such as +0.14, −2,310 or 0: two decimals while it is small, with a wide minus."""
    if number == 0:
        return "0"
    size = abs(number)
    if size < 0.005:
        text = f"{number:+.2g}" if "e" not in f"{number:.2g}" else f"{number:+.0e}"
    elif size < 10:
        text = f"{number:+.2f}"
    else:
        text = f"{number:+.1f}" if size < 100 else ("+" if number > 0 else "-") + count(size)
    return text.replace("-", "−")


def measured(number: float, unit: str, *, is_score: bool = False) -> str:
    """Returns a mean in its measure's unit: 0.14, 75.5k, $0.0132, 42.1.

    Table headers state the unit, except for dollars.
    """
    if unit == "$":
        return dollars(Decimal(repr(number))).replace("$-", "-$")
    if is_score:
        return f"{number:.2f}"
    return count(number) if unit == "tokens" else mean(number)


def spread(interval: Interval, say: Callable[[float], str]) -> str:
    """Returns ± 0.05, or [0.01, 0.21] for a lopsided interval, which a ± would misstate.

    "" if the values show no spread. `say` formats a number like the mean.
    """
    low, high, half_width = interval.low, interval.high, interval.half_width
    if low is None or high is None or half_width is None:
        return ""
    if min(interval.mean - low, high - interval.mean) >= _LOPSIDED * half_width:
        return f"± {say(half_width)}"
    return f"[{say(low)}, {say(high)}]"


def probability(p: float) -> str:
    """Returns a p-value, such as p = 0.07 or p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def plural(number: int, one: str, many: str = "") -> str:
    """Returns a number with its noun, such as 1 call or 38 calls."""
    plural_form = many or (f"{one[:-1]}ies" if one.endswith("try") else f"{one}s")
    return f"{number:,} {one if number == 1 else plural_form}"


def metric(value: object) -> str:
    """Returns an environment's metric, or whatever it stored in its place."""
    return f"{value:.4g}" if isinstance(value, int | float) else visible(unescape(str(value)))


def ago(seconds: float) -> str:
    """Returns an age, such as 3 m ago, 2 h ago or 5 d ago."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"


def weight(text: str) -> int:
    """Returns the bytes of a text on a page, escaped and encoded."""
    return len(escape(visible(text)).encode())
