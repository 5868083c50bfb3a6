"""Clips on disk: H.264 in .mp4 and the masks as one .png, the same bytes whenever they are written again.

A clip is written beside its final name and moved there whole, so a job that is killed leaves no half a video.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from PIL import Image

from fsar_core.errors import FsarError

FPS = (6, 8, 12, 24)  # one of them a clip, so that clips of as many frames last differently long


def write_video(path: Path, video: np.ndarray, crf: int, fps: int) -> None:
    """Encode `[frames height width 3]` uint8 RGB as H.264, yuv420p, `fps` frames a second.

    Args:
        crf: quality of x264, 0 (lossless) to 51 (worst).

    Raises:
        FsarError: height or width is odd, which 4:2:0 chroma cannot hold.
    """
    _, height, width, _ = video.shape
    if height % 2 or width % 2:
        raise FsarError(
            f"a video of {width}x{height} pixels cannot be encoded: width and height must be even"
        )
    # bitexact leaves out the times and versions that the muxer would write; one thread because x264's rate control depends on
    # how many there are; no mbtree because the rates that it finds differ from one try to the next.
    muxing = {"fflags": "+bitexact", "movflags": "+faststart"}
    coding = {
        "crf": str(crf),
        "preset": "veryfast",
        "flags": "+bitexact",
        "x264-params": "threads=1:lookahead-threads=1:mbtree=0",
    }
    with (
        _replacing(path) as temporary,
        av.open(temporary, "w", format="mp4", container_options=muxing) as container,
    ):
        stream = container.add_stream("libx264", rate=fps, options=coding)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_masks(path: Path, masks: np.ndarray) -> None:
    """Store instance ids uint8 `[frames height width]` as one grey picture, the frames below one another."""
    frames, height, width = masks.shape
    with _replacing(path) as temporary:
        Image.fromarray(masks.reshape(frames * height, width)).save(
            temporary, format="PNG", compress_level=4
        )


@contextmanager
def _replacing(path: Path) -> Iterator[str]:
    """A temporary name beside `path` that becomes `path` on success and is removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield str(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
