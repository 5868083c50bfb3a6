"""Names of tables and figures: `<paper>_table<n>`, `<paper>_fig<n>`, `<paper>_<anything>`."""

from __future__ import annotations

from collections.abc import Iterable


def paper_of(name: str) -> str:
    """Return the paper that a table or figure is of.

    Example:
        >>> paper_of("dmgal_table2")
        'dmgal'
    """
    return name.partition("_")[0]


def papers(table_names: Iterable[str]) -> list[str]:
    """Return the papers that have a numbered table, sorted.

    Example:
        >>> papers(["sgtm_table1", "dmgal_table2", "dmgal_components"])
        ['dmgal', 'sgtm']
    """
    return sorted({name.partition("_table")[0] for name in table_names if "_table" in name})


def of_paper(names: Iterable[str], paper: str) -> list[str]:
    """Return the tables (or figures) of a paper, also those that only this project adds to it.

    Example:
        >>> of_paper(["sgtm_table1", "dmgal_table2", "dmgal_components"], "dmgal")
        ['dmgal_table2', 'dmgal_components']
    """
    return [name for name in names if name.startswith(f"{paper}_")]


def numbered_tables(names: Iterable[str], paper: str) -> list[str]:
    """Return the tables that a paper prints.

    Example:
        >>> numbered_tables(["dmgal_table2", "dmgal_components"], "dmgal")
        ['dmgal_table2']
    """
    return [name for name in names if name.startswith(f"{paper}_table")]
