"""The computation of each kind of generated problem: `right`, a hasty mistake, and an independent check.

`$1`, `$2` … are the numbers of the question, in the order of the pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

N = r"(-?\d+)"


@dataclass(frozen=True)
class Kind:
    """A form of question, with code that leaves its answer in `result`."""

    pattern: str
    right: str
    hasty: str
    check: str


def filled(code: str, numbers: tuple[str, ...]) -> str:
    """Returns the code with the numbers filled in, negative ones in brackets."""
    return re.sub(
        r"\$(\d)",
        lambda place: f"({found})" if (found := numbers[int(place[1]) - 1]).startswith("-") else found,
        code,
    )


KINDS = (
    Kind(
        pattern=rf"remainder when {N}\^\{{{N}\}} is divided by {N}",
        right="result = pow($1, $2, $3)",
        hasty="# the exponent may be reduced first\nresult = pow($1, $2 % ($3 - 1), $3)",
        check="other = 1\nfor _ in range($2):\n    other = other * $1 % $3",
    ),
    Kind(
        pattern=rf"How many positive divisors does {N} have",
        right="import sympy\nresult = sympy.divisor_count($1)",
        hasty="import math\nresult = 2 * sum($1 % d == 0 for d in range(2, math.isqrt($1) + 1))",
        check="""\
import math
other = sum((1 if d * d == $1 else 2) for d in range(1, math.isqrt($1) + 1) if $1 % d == 0)""",
    ),
    Kind(
        pattern=rf"positive integers up to {N} that are divisible by {N} or by {N}",
        right="result = sum(n for n in range(1, $1 + 1) if n % $2 == 0 or n % $3 == 0)",
        hasty="result = sum(range($2, $1 + 1, $2)) + sum(range($3, $1 + 1, $3))",
        check="other = sum({*range($2, $1 + 1, $2)} | {*range($3, $1 + 1, $3)})",
    ),
    Kind(
        pattern=rf"\({N}\)x \+ \({N}\)y = {N} and \({N}\)x \+ \({N}\)y = {N}\. What is x \+ y",
        right="""\
import sympy
x, y = sympy.symbols("x y")
solved = sympy.solve([$1 * x + $2 * y - $3, $4 * x + $5 * y - $6], [x, y])
result = solved[x] + solved[y]""",
        hasty="""\
import sympy
x, y = sympy.symbols("x y")
solved = sympy.solve([$1 * x + $2 * y - $3, $4 * x + $5 * y + $6], [x, y])
result = solved[x] + solved[y]""",
        check="""\
from fractions import Fraction
det = $1 * $5 - $2 * $4
other = Fraction($3 * $5 - $2 * $6, det) + Fraction($1 * $6 - $3 * $4, det)""",
    ),
    Kind(
        pattern=rf"roots of x\^2 \+ \({N}\)x \+ \({N}\) = 0\. What is r\^4 \+ s\^4",
        right="squares = $1 ** 2 - 2 * $2  # (r + s)^2 - 2 r s\nresult = squares**2 - 2 * $2 ** 2",
        hasty="squares = $1 ** 2 - 2 * $2  # (r + s)^2 - 2 r s\nresult = squares**2 - 2 * $2",
        check="import numpy\nother = round(float(sum(numpy.roots([1, $1, $2]) ** 4).real))",
    ),
    Kind(
        pattern=rf"integral of {N}x\^3 \+ \({N}\)x\^2 \+ \({N}\)x from x = {N} to x = {N}",
        right="""\
import sympy
x = sympy.Symbol("x")
result = sympy.integrate($1 * x**3 + $2 * x**2 + $3 * x, (x, $4, $5))""",
        hasty="""\
import sympy
x = sympy.Symbol("x")
result = sympy.integrate($1 * x**3 + $2 * x**2 + $3 * x, x).subs(x, $5)""",
        check="""\
from fractions import Fraction

def primitive(x):
    return Fraction($1, 4) * x**4 + Fraction($2, 3) * x**3 + Fraction($3, 2) * x**2

other = primitive($5) - primitive($4)""",
    ),
    Kind(
        pattern=rf"paths lead from \(0, 0\) to \({N}, {N}\) .* the point \({N}, {N}\)",
        right="""\
from math import comb
through = comb($3 + $4, $3) * comb($1 - $3 + $2 - $4, $1 - $3)
result = comb($1 + $2, $1) - through""",
        hasty="from math import comb\nresult = comb($1 + $2, $1) - comb($3 + $4, $3)",
        check="""\
from functools import cache

@cache
def ways(x, y):
    if (x, y) == ($3, $4) or x < 0 or y < 0:
        return 0
    return 1 if (x, y) == (0, 0) else ways(x - 1, y) + ways(x, y - 1)

other = ways($1, $2)""",
    ),
    Kind(
        pattern=rf"{N} fair dice with {N} sides each, .* sum is {N}, as",
        right="""\
from fractions import Fraction
from itertools import product
throws = list(product(range(1, $2 + 1), repeat=$1))
result = Fraction(sum(sum(throw) == $3 for throw in throws), len(throws))""",
        hasty="""\
from fractions import Fraction
from itertools import combinations_with_replacement
throws = list(combinations_with_replacement(range(1, $2 + 1), $1))
result = Fraction(sum(sum(throw) == $3 for throw in throws), len(throws))""",
        check="""\
from collections import Counter
from fractions import Fraction
sums = Counter({0: 1})
for _ in range($1):
    sums = sum((Counter({n + face: k for n, k in sums.items()}) for face in range(1, $2 + 1)), Counter())
other = Fraction(sums[$3], $2 ** $1)""",
    ),
)
