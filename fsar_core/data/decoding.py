"""Clips to frames: decord by default, PyAV for what decord rejects or gets wrong, pictures for folders of extracted frames.

One thread each, whole frames, every frame counted from 0 in the order in which it is shown. Nothing is retried into a
different result: PyAV decodes from the beginning of a file and gives the frame that decord would give, or none.

Source: measurements of exactness over 76 files (decord returned the right frame on every sound one, rotation included, but
counts frames that an edit list hides; PyAV errs where it seeks), hence the order and PyAV's sequential reading.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsar_core.data.files import PICTURES


class VideoProblem(Exception):
    """A clip that cannot be read; the text says why, in a few words."""


@dataclass(frozen=True)
class VideoInfo:
    """frames: that can be decoded; fps: per second, 0 where nothing says it; height, width: pixels as shown (rotation
    applied); decoder: decord, pyav or pictures, the one to be given to `decode`."""

    frames: int
    fps: float
    height: int
    width: int
    decoder: str


def probe(path: Path) -> VideoInfo:
    """Open a clip, decode its first frame, and decide who decodes it.

    PyAV does where decord cannot open the file, where an edit list hides frames, and where the frames that decord counts are
    not those that the file holds; PyAV then counts by decoding all of them.
    """
    if Path(path).is_dir():
        return _described(_Pictures(path), "pictures")
    _check_file(path)
    try:
        reader = _Decord(path)
        info = _described(reader, "decord")
        reason = _miscounted(path, reader.total)
    except VideoProblem as problem:
        reason = str(problem)
    if not reason:
        return info
    try:
        return _described(_PyAV(path, {0}), "pyav")
    except VideoProblem as problem:
        raise VideoProblem(f"decord: {reason}; pyav: {problem}") from None


def decode(path: Path, indices: np.ndarray, decoder: str = "decord") -> tuple[np.ndarray, str]:
    """Frames of a clip, and who decoded them: PyAV steps in where decord fails.

    Args:
        decoder: as `probe` found it.
    Returns:
        uint8 [frames height width channels], RGB, in the order of `indices`
    """
    if decoder == "pictures":
        return _Pictures(path).frames(indices), decoder
    _check_file(path)
    if decoder == "decord":
        try:
            return _Decord(path).frames(indices), decoder
        except VideoProblem as problem:
            first = f"decord: {problem}; pyav: "
    else:
        first = ""
    try:
        return _PyAV(path, set(indices.tolist()), stop=True).frames(indices), "pyav"
    except VideoProblem as problem:
        raise VideoProblem(f"{first}{problem}") from None


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
        _check_range(indices, self.total)
        try:
            return self.reader.get_batch(indices.tolist()).asnumpy()
        except Exception as error:
            raise VideoProblem(_reason(error)) from None


class _PyAV:
    """Decodes from the beginning and keeps the wanted frames; `total` counts all of them, unless `stop` ends behind the last
    wanted one."""

    def __init__(self, path: Path, wanted: set[int], stop: bool = False) -> None:
        import av

        self.kept: dict[int, np.ndarray] = {}
        self.total = 0
        try:
            with av.open(str(path), metadata_errors="ignore") as container:
                stream = container.streams.best("video")
                if stream is None:
                    raise VideoProblem("no video stream")
                stream.thread_count = 1
                self.fps = float(stream.average_rate or 0)
                # A truncated file ends in an error behind its last readable frame: what came before is sound.
                with contextlib.suppress(av.error.FFmpegError):
                    for frame in container.decode(stream):
                        if self.total in wanted:
                            picture = frame.to_ndarray(format="rgb24")
                            self.kept[self.total] = np.rot90(picture, k=frame.rotation // 90)
                        self.total += 1
                        if stop and self.total > max(wanted):
                            break
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoProblem(_reason(error)) from None
        if not self.total:
            raise VideoProblem("no frames")

    def frames(self, indices: np.ndarray) -> np.ndarray:
        _check_range(indices, self.total)
        if len({self.kept[i].shape for i in indices.tolist()}) > 1:
            raise VideoProblem("the size of its frames changes")
        return np.stack([self.kept[i] for i in indices.tolist()])


class _Pictures:
    """A folder of extracted frames, in the order of the numbers in their names (2.jpg before 10.jpg)."""

    fps = 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.names = pictures_in(self.folder, PICTURES)
        self.total = len(self.names)
        if not self.total:
            raise VideoProblem(f"no {', '.join(PICTURES)} in the folder")
        stem, times = Counter(name.rpartition(".")[0] for name in self.names).most_common(1)[0]
        if times > 1:
            raise VideoProblem(f"{times} pictures are called '{stem}'")

    def frames(self, indices: np.ndarray) -> np.ndarray:
        _check_range(indices, self.total)
        pictures = {i: self._picture(self.names[i]) for i in set(indices.tolist())}
        if len({picture.shape for picture in pictures.values()}) > 1:
            raise VideoProblem("the size of its frames changes")
        return np.stack([pictures[i] for i in indices.tolist()])

    def _picture(self, name: str) -> np.ndarray:
        from PIL import Image

        try:
            with Image.open(self.folder / name) as picture:
                return np.asarray(picture.convert("RGB"))
        except Exception as error:  # OSError, but also SyntaxError and DecompressionBombError
            raise VideoProblem(f"picture '{name}': {_reason(error)}") from None


def pictures_in(folder: Path, endings: tuple[str, ...]) -> list[str]:
    """Names of a folder's pictures in their natural order (2 before 10), hidden ones left out."""
    try:
        names = [path.name for path in Path(folder).iterdir() if path.name.lower().endswith(endings)]
    except OSError as error:
        raise VideoProblem(_reason(error)) from None
    return sorted((name for name in names if not name.startswith(".")), key=_natural)


def _described(reader, decoder: str) -> VideoInfo:
    height, width, _ = reader.frames(np.array([0]))[0].shape
    return VideoInfo(reader.total, reader.fps, height, width, decoder)


def _miscounted(path: Path, total: int) -> str:
    """Why `total` is not the number of frames that a player would show, or an empty text. Reads the file, decodes nothing."""
    import av

    packets = hidden = 0
    with contextlib.suppress(av.error.FFmpegError), av.open(str(path), metadata_errors="ignore") as container:
        for packet in container.demux(container.streams.best("video")):
            packets += packet.size > 0
            hidden += packet.size > 0 and packet.is_discard
    if hidden:
        return f"counts {hidden} frames that an edit list hides"
    return "" if packets == total else f"counts {total} frames where there are {packets}"


def _check_file(path: Path) -> None:
    if not Path(path).is_file():
        raise VideoProblem("no such file")
    if Path(path).stat().st_size == 0:
        raise VideoProblem("empty file")


def _check_range(indices: np.ndarray, total: int) -> None:
    if indices.max(initial=0) >= total:
        raise VideoProblem(f"frame {indices.max()} asked, {total} present")


def _natural(name: str) -> tuple[list[str | int], str]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def _reason(error: Exception) -> str:
    """An error's own words without a stack trace and, as reasons are kept in indices and manifests, without the path."""
    lines = [line for line in str(getattr(error, "strerror", None) or error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = re.sub(r"Error reading .*\.\.\.$", "not readable as a video", text.split("Check failed:")[-1].strip())
    text = re.sub(r"cannot identify image file .*", "not readable as a picture", text)
    return text[:120]
