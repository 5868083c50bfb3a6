"""What the patches of a frame attend to inside the frame.

Source: DMGAL, Fig. 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from fsar_core.figures._attention import AttentionFigure, columns, read_examples, received, square
from fsar_core.figures._examples import ShownExample
from fsar_core.papers.kinds import FigureInputs
from fsar_core.rendering.drawing import PLAIN, draw_map_over, drawing


class SelfAttentionFigure(AttentionFigure):
    """Kind self_attention: how much attention patches receive from those of their frame."""

    caption: ClassVar[str] = (
        "How much attention every patch of a frame receives from the patches of its own frame: 1 "
        "is its even share, the warmer, the more. Each clip has a scale of its own beside it. A "
        "head that follows the motion is warm where something moves, and cool on what stands still."
    )

    kind: Literal["self_attention"]

    def draw(self, inputs: FigureInputs):
        shown, _ = read_examples(self, inputs.inspections)
        return draw_self_attention(self, shown)


def draw_self_attention(figure: SelfAttentionFigure, shown: Sequence[ShownExample]):
    """Draw two rows for each example: its frames, and S-MGA's attention over them."""
    rows = []
    most_frames = max(len(one["query_frames"]) for one in shown)
    with drawing(**PLAIN) as pyplot:
        canvas = pyplot.figure(
            figsize=(1.2 * most_frames + 1.2, 3.1 * len(shown) + 0.6), layout="constrained"
        )
        for part, one in zip(np.atleast_1d(canvas.subfigures(len(shown), 1)), shown):
            maps = square(received(one["self_query"]))
            part.suptitle(f"{one.label}; λ = {float(one['lambda_self']):.2f}", fontsize=8)
            pictures, overlays = part.subplots(2, len(maps), squeeze=False)
            for i, values in enumerate(maps):
                pictures[i].imshow(one.frame(i + 1))
                pictures[i].set_title(f"frame {i + 1}", fontsize=7)
                pictures[i].set_axis_off()
                drawn = draw_map_over(overlays[i], one.frame(i + 1), values, maps)
                rows += [
                    {
                        **columns(one),
                        "frame": i + 1,
                        "row": y + 1,
                        "column": x + 1,
                        "received": value,
                    }
                    for (y, x), value in np.ndenumerate(values)
                ]
            label = "attention received\n(uniform: 1)"
            part.colorbar(drawn, ax=[*pictures, *overlays], label=label, shrink=0.8)
        over = (
            "upper rows: frames; lower rows: the attention that each patch receives from those of "
            "its frame"
        )
        canvas.suptitle(f"{figure.title}\n{figure.measured_text(shown)}\n{over}", fontsize=9)
    return canvas, pd.DataFrame(rows)
