"""Charts: the existing figures (`specs`), the URL's choices (`query`), the numbers (`build`, `numbers`), and their
forms: data for plotly (`plots`, `style`), rows (`rows`) and sentences (`captions`).
"""

from .build import chart
from .captions import caption
from .legends import legend, shades, shapes
from .numbers import Chart
from .plots import plotted
from .query import FigureForm, FigureQuery, opening_query, title
from .rows import COLUMNS, as_csv, rows
from .specs import FIGURES, Entry, Part, Spec, entries

__all__ = [
    "COLUMNS",
    "FIGURES",
    "Chart",
    "Entry",
    "FigureForm",
    "FigureQuery",
    "Part",
    "Spec",
    "as_csv",
    "caption",
    "chart",
    "entries",
    "legend",
    "opening_query",
    "plotted",
    "rows",
    "shades",
    "shapes",
    "title",
]
