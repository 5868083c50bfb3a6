"""Videos to frames: decord first, PyAV sequentially for files that decord rejects. One thread each, whole frames.

Source: measurements of exactness (decord returned the right frame on every sound file, rotation included), hence the order.
An unreadable file raises `VideoProblem`; nothing is retried into a different result.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np


class VideoProblem(Exception):
    """A clip that cannot be read; the text says why, in a few words."""


@dataclass(frozen=True)
class VideoInfo:
    """frames: decodable frames; fps: per second; height, width: pixels as shown (rotation applied)."""

    frames: int
    fps: float
    height: int
    width: int
    decoder: str


def probe(path: Path) -> VideoInfo:
    """Open a video, decode its first frame and describe it."""
    reader, decoder = _open(path, np.array([0]))
    height, width, _ = reader.frame(0).shape
    return VideoInfo(reader.total, reader.fps, height, width, decoder)


def decode(path: Path, indices: np.ndarray) -> np.ndarray:
    """uint8 [frames height width channels], RGB; frames in the order of `indices`."""
    reader, _ = _open(path, indices)
    if indices.max(initial=0) >= reader.total:
        raise VideoProblem(f"frame {indices.max()} asked, {reader.total} present")
    return reader.frames(indices)


class _Decord:
    def __init__(self, path: Path) -> None:
        try:
            import decord
        except ImportError:  # no wheel for this machine: PyAV decodes everything
            raise VideoProblem("decord is not installed") from None
        decord.logging.set_level(decord.logging.QUIET)
        try:
            self.reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
            self.total, self.fps = len(self.reader), float(self.reader.get_avg_fps())
        except Exception as error:  # decord raises its own DECORDError, RuntimeError or OSError
            raise VideoProblem(_reason(error)) from None
        if self.total < 1:
            raise VideoProblem("no frames")

    def frames(self, indices: np.ndarray) -> np.ndarray:
        try:
            return self.reader.get_batch([int(i) for i in indices]).asnumpy()
        except Exception as error:
            raise VideoProblem(_reason(error)) from None

    def frame(self, index: int) -> np.ndarray:
        return self.frames(np.array([index]))[0]


class _PyAV:
    """Sequential decoding of the whole file, of which only the wanted frames are kept; exact, and slower."""

    def __init__(self, path: Path, wanted: np.ndarray) -> None:
        import av

        keep = {int(i) for i in wanted} | {0}
        self.kept, self.total = {}, 0
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise VideoProblem("no video stream")
                stream = container.streams.video[0]
                stream.thread_count = 1
                self.fps = float(stream.average_rate or 0)
                # A truncated file ends in an error after its last readable frame: what came before is sound.
                with contextlib.suppress(av.error.FFmpegError):
                    for frame in container.decode(stream):
                        if self.total in keep:
                            picture = frame.to_ndarray(format="rgb24")
                            self.kept[self.total] = np.rot90(picture, k=frame.rotation // 90)
                        self.total += 1
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoProblem(_reason(error)) from None
        if not self.total:
            raise VideoProblem("no frames")

    def frames(self, indices: np.ndarray) -> np.ndarray:
        if len({self.kept[int(i)].shape for i in indices}) > 1:
            raise VideoProblem("the size of its frames changes")
        return np.stack([self.kept[int(i)] for i in indices])

    def frame(self, index: int) -> np.ndarray:
        return self.kept[index]


def _open(path: Path, wanted: np.ndarray):
    if not Path(path).is_file():
        raise VideoProblem("no such file")
    if Path(path).stat().st_size == 0:
        raise VideoProblem("empty file")
    try:
        reader = _Decord(path)
        reader.frame(0)
        return reader, "decord"
    except VideoProblem as first:
        try:
            return _PyAV(path, wanted), "pyav"
        except VideoProblem as second:
            raise VideoProblem(f"decord: {first}; pyav: {second}") from None


def _reason(error: Exception) -> str:
    """An error's own words without a stack trace and, as reasons are kept in indices and manifests, without the path."""
    lines = [line for line in str(getattr(error, "strerror", None) or error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = re.sub(r"Error reading .*\.\.\.$", "not readable as a video", text.split("Check failed:")[-1].strip())
    return text[:120]
