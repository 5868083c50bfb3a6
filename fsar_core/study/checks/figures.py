"""Checks of figures that are made: whether what they show exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsar_core.errors import FsarError

if TYPE_CHECKING:
    from fsar_core.study.study import Study


def check_figure(study: Study, name: str) -> None:
    """Check what only the specs behind a figure tell, as its kind does.

    Raises:
        FsarError: for example an episode that does not exist is to be shown.
    """
    inspections = study.experiments.looks(name)
    actionness = study.experiments.watches(name)
    try:
        study.figure(name).check(study.config.preset, inspections, actionness)
    except FsarError as error:
        raise FsarError(f"{name}.yaml: {error}") from None
