"""What all matplotlib figures share: their style, their files, and maps over frames."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fsar_core.storage.provenance import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

SETTINGS = {
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
}
# For pictures: no grid, no ticks.
PLAIN = {
    "axes.grid": False,
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.labelbottom": False,
    "ytick.labelleft": False,
}
MARKERS = "osD^vP*X"
COLOR_MAP = "inferno"
MAP_OPACITY = 0.6  # over the frame below it


@contextlib.contextmanager
def drawing(**settings) -> Iterator:
    """Give matplotlib.pyplot without a screen, in the style of all figures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(SETTINGS | settings):
        yield pyplot


def write(canvas: Figure, table: pd.DataFrame, prefix: Path) -> None:
    """Write `<prefix>.csv`, `.png` and `.pdf`, each atomically and without time stamps inside."""
    for part in canvas.subfigs:
        # A transparent ground; the layout puts its corner at 0 or -0, and the PDF differs by that.
        part.patch.set_visible(False)
    with atomic_write(prefix.with_suffix(".csv")) as stream:
        table.to_csv(stream, index=False, lineterminator="\n", float_format="%.4f")
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with atomic_write(prefix.with_suffix(suffix), "wb") as stream:
            canvas.savefig(stream, format=suffix[1:], metadata=metadata)
    with drawing() as pyplot:
        pyplot.close(canvas)


def draw_map_over(
    axes: Axes, picture: np.ndarray, values: np.ndarray, scale: np.ndarray
) -> AxesImage:
    """Draw a map over a frame in gray.

    Args:
        picture: uint8 [height width 3].
        values: [rows columns].
        scale: all values that share the colors of the map.

    Returns:
        The map, for a color bar.
    """
    height, width = picture.shape[:2]
    axes.imshow(np.repeat(picture.mean(-1, keepdims=True), 3, -1).astype(np.uint8))
    drawn = axes.imshow(
        values,
        cmap=COLOR_MAP,
        alpha=MAP_OPACITY,
        vmin=float(scale.min()),
        vmax=float(scale.max()),
        interpolation="bicubic",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
    axes.set_axis_off()
    return drawn
