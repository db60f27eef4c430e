"""Numbers and hostile text as a reader sees them: never more digits than they deserve, nothing invisible."""

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
"""Ratio of an interval's two sides below which its limits are shown instead of ±."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Returns `text` with nothing hidden: control characters as pictures (␀), lone surrogates and direction
    marks by their numbers. The result encodes as UTF-8.
    """
    return _HIDDEN.sub(_picture, text.replace("\r\n", "\n"))


def _picture(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x20:
        return chr(0x2400 + number)
    return "␡" if number == 0x7F else f"⟨U+{number:04X}⟩"


def no_formula(text: str) -> str:
    """`text` for a cell of a CSV file: behind an apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def count(number: float | None) -> str:
    """950, 9,500, 75.5k, 1.24M."""
    if number is None:
        return DASH
    if abs(number) >= 999_950:
        return f"{number / 1e6:.2f}M" if abs(number) < 9.995e6 else f"{number / 1e6:,.1f}M"
    if abs(number) >= 9_999.5:
        return f"{number / 1e3:.1f}k"
    return f"{number:,.0f}"


def whole(number: int) -> str:
    """1,234,567: to the last one."""
    return f"{number:,}"


def mean(number: float | None) -> str:
    """Returns a mean of counts: one decimal while it is small."""
    if number is None:
        return DASH
    return f"{number:.1f}".removesuffix(".0") if abs(number) < 100 else count(number)


def exact(number: float | None) -> str:
    """Returns all that is known of a number, for hovers."""
    if number is None:
        return "not known"
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.2f}"


def significant(number: float | None) -> str:
    """Four digits that count: 0.02, 0.0704, 12.5, 75,454."""
    if number is None:
        return DASH
    if abs(number) >= 1000:
        return f"{number:,.0f}".replace("-", "−")
    text = f"{number:.4g}" if abs(number) >= 1e-4 or number == 0 else f"{number:.1e}"
    return text.replace("-", "−")


def alike(numbers: Sequence[float | None]) -> list[str]:
    """Numbers of one kind to the same decimals, as many as the largest deserves: 0.043, 0.008, 0.210.

    Four digits that count, three below 1, so that limits near 0 do not pretend to be known to the millionth.
    """
    largest = max((abs(number) for number in numbers if number is not None), default=0.0)
    order = math.floor(math.log10(largest)) if largest else 0
    places = max(0, (3 if largest >= 1 else 2) - order) if largest else 0
    return [DASH if number is None else f"{number:,.{places}f}".replace("-", "−") for number in numbers]


def dollars(cost: Decimal | None) -> str:
    """Returns $0.0132 or $31.20: three significant digits below a dollar, cents above; "unpriced" for None."""
    if cost is None:
        return "unpriced"
    if cost == 0:
        return "$0"
    if abs(cost) >= 1:
        return f"${cost:,.2f}"
    places = min(10, 2 - math.floor(math.log10(abs(cost))))
    return f"${cost:.{places}f}"


def beyond(theirs: Decimal, ours: Decimal) -> str:
    """Returns how far one amount is from another: "equal", "+$0.0012, +4.1 %"."""
    if theirs == ours:
        return "equal"
    sign = "+" if theirs > ours else "−"
    gap = abs(theirs - ours)
    share = f", {sign}{gap / ours * 100:.1f} %" if ours else ""
    return f"{sign}{dollars(gap)}{share}"


def duration(seconds: float | None) -> str:
    """4 ms, 0.42 s, 4.2 s, 42 s, 2 m 14 s, 1 h 02 m."""
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
    """4.2, 42, 4,200."""
    return f"{per_second:.1f}" if per_second < 9.95 else f"{per_second:,.0f}"


def score(value: float | None) -> str:
    """Returns a reward with two decimals, without decimals if it is whole."""
    if value is None:
        return DASH
    return f"{value:.0f}" if value in (0, 1) else f"{value:.2f}"


def percent(share: float) -> str:
    """Returns 24 %. A share that is neither 0 nor 1 is never rounded to them."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def signed(number: float) -> str:
    """+0.14, −2,310, 0: two decimals while it is small, and a minus as wide as a plus."""
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
    """Returns a mean in its measure's unit: 0.14, 75.5k, $0.0132, 42.1. The header has the unit, except for
    dollars.
    """
    if unit == "$":
        return dollars(Decimal(repr(number))).replace("$-", "-$")
    if is_score:
        return f"{number:.2f}"
    return count(number) if unit == "tokens" else mean(number)


def spread(interval: Interval, say: Callable[[float], str]) -> str:
    """± 0.05, or [0.01, 0.21] where the interval is lopsided: a ± would reach where it does not, and below zero.

    "" where the values say nothing of spread. `say` writes a number as that of the mean is written.
    """
    low, high, half_width = interval.low, interval.high, interval.half_width
    if low is None or high is None or half_width is None:
        return ""
    if min(interval.mean - low, high - interval.mean) >= _LOPSIDED * half_width:
        return f"± {say(half_width)}"
    return f"[{say(low)}, {say(high)}]"


def probability(p: float) -> str:
    """p = 0.07, p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def plural(number: int, one: str, many: str = "") -> str:
    """1 call, 38 calls."""
    plural_form = many or (f"{one[:-1]}ies" if one.endswith("try") else f"{one}s")
    return f"{number:,} {one if number == 1 else plural_form}"


def metric(value: object) -> str:
    """Returns a number of an environment's own, or whatever else it put there."""
    return f"{value:.4g}" if isinstance(value, int | float) else visible(unescape(str(value)))


def ago(seconds: float) -> str:
    """3 m ago, 2 h ago, 5 d ago."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"


def weight(text: str) -> int:
    """Bytes of a text on a page, escaped and encoded."""
    return len(escape(visible(text)).encode())
