"""Frames boxed by their actionness, shared by kinds that draw them.

Source: the boxes of SGTM, Fig. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsar_core.errors import FsarError
from fsar_core.evaluation.actionness import GROUPS
from fsar_core.papers.needs import Actionness

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = dict(zip(GROUPS, ("tab:blue", "tab:red", "tab:green")))


def draw_box(axes: Axes, group: str) -> None:
    """Draw a box around a picture, in the color of its group."""
    from matplotlib.patches import Rectangle

    place = {"transform": axes.transAxes, "clip_on": False}
    edge = {"fill": False, "edgecolor": COLORS[group], "linewidth": 2.5}
    axes.add_patch(Rectangle((0, 0), 1, 1, **edge, **place))


def legend() -> str:
    """Return in words which color is which group."""
    names = ", ".join(f"{COLORS[group].removeprefix('tab:')} {group}" for group in GROUPS)
    return f"boxes: {names}"


def check_salient(salient: int, actionness: Sequence[Actionness]) -> None:
    """Check that clips have enough frames for two groups.

    Raises:
        FsarError: salient and non-salient frames are more than those of a clip.
    """
    for shown in actionness:
        frames = shown.saliency.features.frames.count
        if 2 * salient > frames:
            raise FsarError(
                f"{salient} salient and as many non-salient frames are more than the {frames} of a "
                f"clip (frames.count); lower `salient`"
            )
