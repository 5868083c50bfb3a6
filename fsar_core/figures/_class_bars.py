"""Gains of classes as bars, shared by kinds that draw them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_WIDTH = 48  # letters of a class name before it continues on the next line
PALE = 0.4  # opacity of a bar whose interval includes 0


def draw_gain_bars(axes: Axes, gain: pd.Series, ci95: pd.Series, mean: float) -> str:
    """Draw a bar for every gain, the first on top, and their mean as a dashed line.

    Bars whose interval includes 0 are pale.

    Returns:
        How many lie beyond their interval, in words.
    """
    is_certain = (gain.abs() > ci95).to_numpy()
    colors = [f"C{int(value < 0)}" for value in gain]
    drawn = axes.barh(range(len(gain)), gain, xerr=ci95, color=colors, error_kw={"elinewidth": 0.8})
    for bar, certain in zip(drawn, is_certain):
        bar.set_alpha(1.0 if certain else PALE)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(mean, color="grey", linestyle="--", linewidth=1)
    better = int((is_certain & (gain > 0)).sum())
    worse = int((is_certain & (gain < 0)).sum())
    return f"of {len(gain)} classes {better} are better and {worse} worse beyond their interval"
