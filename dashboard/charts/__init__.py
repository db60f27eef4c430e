"""Figures: what there is to plot (`specs`), what an address asks for (`asked`), the numbers (`build`, `chart`),
and what is made of them: data for plotly (`plots`, `look`), rows (`tables`) and words (`captions`).
"""

from .build import chart
from .captions import caption
from .legends import legend, shades, shapes
from .numbers import Chart
from .plots import plotted
from .query import Asked, FigureForm, opening, title
from .rows import COLUMNS, as_csv, rows
from .specs import FIGURES, Entry, Part, Spec, entries

__all__ = [
    "COLUMNS",
    "FIGURES",
    "Asked",
    "Chart",
    "Entry",
    "FigureForm",
    "Part",
    "Spec",
    "as_csv",
    "caption",
    "chart",
    "entries",
    "legend",
    "opening",
    "plotted",
    "rows",
    "shades",
    "shapes",
    "title",
]
