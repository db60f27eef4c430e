"""math-python's generated source: seeded problems of several kinds, with computed answers.

It needs no compiler and no network. The library reasoning-gym is another source (`math_reasoning_gym.py`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Problem:
    """A question, its answer in LaTeX, and its kind, which figures may group by."""

    kind: str
    question: str
    answer: str


def problem(rng: random.Random, *, kind: str) -> Problem:
    """Returns a problem of this kind."""
    question, answer = KINDS[kind](rng)
    return Problem(kind, question, _latex(Fraction(answer)))


def _latex(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    return (
        str(value.numerator)
        if value.denominator == 1
        else f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    )


Made = tuple[str, int | Fraction]


def _power_remainder(rng: random.Random) -> Made:
    base, exponent, modulus = rng.randint(3, 60), rng.randint(200, 9000), rng.randint(50, 2000)
    question = f"What is the remainder when {base}^{{{exponent}}} is divided by {modulus}?"
    return question, pow(base, exponent, modulus)


def _divisor_count(rng: random.Random) -> Made:
    powers = {p: rng.randint(1, 5) for p in rng.sample([2, 3, 5, 7, 11], k=3)}
    number = math.prod(p**e for p, e in powers.items())
    return f"How many positive divisors does {number} have?", math.prod(e + 1 for e in powers.values())


def _multiples_sum(rng: random.Random) -> Made:
    one, other = rng.sample([3, 4, 5, 6, 7, 8, 9, 11, 13], k=2)
    top = rng.randint(200, 3000)
    total = sum(n for n in range(1, top + 1) if n % one == 0 or n % other == 0)
    question = f"Find the sum of all positive integers up to {top} that are divisible by {one} or by {other}."
    return question, total


def _linear_system(rng: random.Random) -> Made:
    while True:
        a, b, c, d = (rng.choice([-7, -5, -4, -3, -2, 2, 3, 4, 5, 6, 8, 9]) for _ in range(4))
        if a * d != b * c:
            break
    e, f = rng.randint(-40, 40), rng.randint(-40, 40)
    question = (
        f"Let x and y satisfy ({a})x + ({b})y = {e} and ({c})x + ({d})y = {f}. What is x + y, as a fraction in "
        "lowest terms?"
    )
    return question, Fraction(e * d - b * f + a * f - e * c, a * d - b * c)


def _root_powers(rng: random.Random) -> Made:
    p, q = rng.randint(-9, 9), rng.randint(-12, 12)
    question = f"Let r and s be the (complex) roots of x^2 + ({p})x + ({q}) = 0. What is r^4 + s^4?"
    squares = p * p - 2 * q
    return question, squares * squares - 2 * q * q


def _polynomial_integral(rng: random.Random) -> Made:
    a, b, c = rng.randint(1, 9), rng.randint(-9, 9), rng.randint(-9, 9)
    low, high = rng.randint(-4, 0), rng.randint(1, 5)
    question = f"Compute the integral of {a}x^3 + ({b})x^2 + ({c})x from x = {low} to x = {high}."

    def primitive(x: int) -> Fraction:
        return Fraction(a * x**4, 4) + Fraction(b * x**3, 3) + Fraction(c * x**2, 2)

    return question, primitive(high) - primitive(low)


def _lattice_paths(rng: random.Random) -> Made:
    width, height = rng.randint(6, 12), rng.randint(5, 10)
    x, y = rng.randint(1, width - 1), rng.randint(1, height - 1)
    through = math.comb(x + y, x) * math.comb(width - x + height - y, width - x)
    question = (
        f"How many paths lead from (0, 0) to ({width}, {height}) by unit steps right or up and do not pass "
        f"through the point ({x}, {y})?"
    )
    return question, math.comb(width + height, width) - through


def _dice_sum(rng: random.Random) -> Made:
    dice, sides = rng.randint(3, 5), rng.choice([4, 6, 8])
    total = rng.randint(dice + 3, dice * sides - 3)
    ways = {0: 1}
    for _ in range(dice):
        ways = {
            n: sum(ways.get(n - face, 0) for face in range(1, sides + 1)) for n in range(1, max(ways) + sides + 1)
        }
    question = (
        f"{dice} fair dice with {sides} sides each, numbered from 1 to {sides}, are thrown. What is the "
        f"probability that their sum is {total}, as a fraction in lowest terms?"
    )
    return question, Fraction(ways.get(total, 0), sides**dice)


KINDS: dict[str, Callable[[random.Random], Made]] = {
    "power_remainder": _power_remainder,
    "divisor_count": _divisor_count,
    "multiples_sum": _multiples_sum,
    "linear_system": _linear_system,
    "root_powers": _root_powers,
    "polynomial_integral": _polynomial_integral,
    "lattice_paths": _lattice_paths,
    "dice_sum": _dice_sum,
}
