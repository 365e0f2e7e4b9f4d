"""Tables: named columns of numbers or categories, read from CSV or JSON, kept in one canonical file."""

from nncore.table.column import Column, ColumnInfo
from nncore.table.limits import TableLimits
from nncore.table.table import Table

__all__ = ["Column", "ColumnInfo", "Table", "TableLimits"]
