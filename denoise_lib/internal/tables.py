"""A Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .checks import check_list, describe


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table: the first column to the left, all others to the right.

    Example:
        >>> print(table(["network", "dB"], [["TNet", 25.1]]))
        | network | dB |
        |---|---:|
        | TNet | 25.1 |
    """
    columns = check_list(columns, "columns", ["network", "dB"])
    if not isinstance(rows, (list, tuple, Iterator)):
        raise TypeError(f"rows must be a list of rows, but is {describe(rows)}; for example rows=[['TNet', 25.1]].")
    rows = [*rows]
    for row in rows:
        if not isinstance(row, (list, tuple)):
            raise TypeError(f"each row must be a list of cells, but one is {describe(row)}; for example rows=[['TNet', 25.1]].")
        if len(row) != len(columns):
            shown = " ".join(repr([*row]).split())[:80]
            raise ValueError(f"each row needs {len(columns)} cells, one a column, but one has {len(row)}: {shown}.")
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    joined = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    joined[1] = joined[1].replace(" ", "")
    return "\n".join(joined)
