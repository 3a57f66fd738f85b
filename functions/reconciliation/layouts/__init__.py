"""The layouts of card networks' settlement files (docs/settlement_files.md), each in a module of its own."""

from functions.reconciliation.layouts import major_units, minor_units
from functions.reconciliation.layouts.form import COLUMNS, Header, Layout, Trailer

__all__ = ["COLUMNS", "LAYOUTS", "Header", "Layout", "Trailer", "detected"]

LAYOUTS = (minor_units.LAYOUT, major_units.LAYOUT)


def detected(text: str) -> tuple[Layout, Header] | None:
    """The layout whose header this line is, and what the header says; None of an unknown one."""
    return next(((layout, header) for layout in LAYOUTS if (header := layout.header(text))), None)
