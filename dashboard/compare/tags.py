"""Template tags of the comparison page."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from rlm_runs.analysis.aggregates.comparison import MeasureRow
from rlm_runs.analysis.aggregates.matrix import Row
from rlm_runs.analysis.aggregates.measures import Measure

from .matrix_cells import CellWriter
from .measure_cells import MeasureCells
from .measure_cells import in_unit as measured_in_unit
from .measure_cells import in_words as measured_in_words

register = template.Library()


@register.simple_tag
def matrix_cells(writer: CellWriter, row: Row) -> SafeString:
    """Returns the cells of a row of the example × arm matrix."""
    return writer.cells(row)


@register.simple_tag
def measure_cells(writer: MeasureCells, row: MeasureRow) -> SafeString:
    """Returns the cells of a row of the table of measures."""
    return writer.cells(row)


@register.filter
def in_unit(measure: Measure) -> str:
    """Returns a measure's title with its unit."""
    return measured_in_unit(measure)


@register.simple_tag
def measured(number: float, measure: Measure) -> str:
    """Returns a mean of a measure, in its unit."""
    return measured_in_words(number, measure)
