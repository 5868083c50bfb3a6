"""Checks of figures that are made: whether what they show exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsar_core.errors import FsarError

if TYPE_CHECKING:
    from fsar_core.study.experiments import Look
    from fsar_core.study.study import Study


def check_figure(study: Study, name: str) -> None:
    """Check that a figure's examples are among the episodes or frames, or that masks are held out.

    Raises:
        FsarError: they are not.
    """
    figure = study.figure(name)
    if study.experiments.watches(name) and 2 * figure.salient > study.preset.frames.count:
        raise FsarError(
            f"{name}.yaml: {figure.salient} salient and as many non-salient frames are more than "
            f"the {study.preset.frames.count} of a clip (frames.count); lower `salient`"
        )
    if figure.kind == "embedding":
        return
    for look in study.experiments.looks(name):
        if figure.kind == "masks":
            _check_held_out(study, name, look)
        else:
            _check_examples(name, figure, look)


def _check_examples(name: str, figure, look: Look) -> None:
    test = look.episodes
    shows_the_next_frame = figure.kind == "association"
    last = {
        "episode": test.count - 1,
        "query": test.way * test.query - 1,
        "frame": look.run.features.frames.count - shows_the_next_frame,
    }
    for example in figure.examples:
        for key, limit in last.items():
            value = getattr(example, key)
            if value > limit:
                raise FsarError(
                    f"{name}.yaml: an example has {key} {value}; the last one is {limit}"
                )


def _check_held_out(study: Study, name: str, look: Look) -> None:
    if look.run.masks is None:
        raise FsarError(
            f"{name}.yaml: '{look.subject.method}' learns from no masks, so it predicts none"
        )
    if not look.run.masks_held_out:
        raise FsarError(
            f"{name}.yaml: preset '{study.config.preset}' holds no masks out (`masks.held_out` is "
            f"0), so none is left that '{look.subject.method}' was not shown"
        )
