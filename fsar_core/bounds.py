"""Ranges of the numbers in configurations, cards, tables and figures.

Lower ends are what the code needs. Upper ends are far beyond any use; they catch slips of the keyboard (`crop: 1000000000`)
before a job fails for want of memory.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MOST_CLASSES = 100_000  # of a data set
MOST_FRAMES = 1024  # taken of a clip
MOST_PIXELS = 4096  # of one side of a picture

Count = Annotated[int, Field(ge=1, le=1_000_000)]  # clips, epochs, episodes, repeats
Counted = Annotated[
    int, Field(ge=0, le=1_000_000_000)
]  # what a data set holds, where it may be nothing
Pixels = Annotated[int, Field(ge=16, le=MOST_PIXELS)]
Side = Annotated[int, Field(ge=1, le=MOST_PIXELS)]  # of a picture or a grid
Channels = Annotated[int, Field(ge=1, le=1_000_000)]
Clip = Annotated[int, Field(ge=2, le=MOST_FRAMES)]  # frames taken of a clip
Classes = Annotated[int, Field(ge=1, le=MOST_CLASSES)]
Episodes = Annotated[int, Field(ge=2, le=1_000_000)]  # what an average with an interval is of
Examples = Annotated[int, Field(ge=1, le=1000)]  # that a figure shows
Way = Annotated[int, Field(ge=2, le=1000)]
Shot = Annotated[int, Field(ge=1, le=1000)]
Query = Annotated[int, Field(ge=1, le=1000)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Seconds = Annotated[int, Field(ge=1, le=7 * 24 * 3600)]
Rate = Annotated[float, Field(gt=0, le=1000)]  # of learning
Decay = Annotated[float, Field(ge=0, le=1000)]  # of weights
Factor = Annotated[float, Field(ge=0, le=1000)]  # of a learning rate
Norm = Annotated[float, Field(gt=0, le=1_000_000_000)]  # of a gradient
Share = Annotated[float, Field(ge=0, le=1)]
