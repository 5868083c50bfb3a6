"""Clips to frames: decord by default, PyAV for what decord rejects or gets wrong, pictures for folders of extracted frames.

One thread each, whole frames, every frame counted from 0 in the order in which it is shown. Nothing is retried into a
different result: PyAV decodes from the beginning of a file and gives the frame that decord would give, or none.

Source: measurements of exactness over 76 files (decord returned the right frame on every sound one, rotation included, but
counts frames that an edit list hides; PyAV errs where it seeks), hence the order and PyAV's sequential reading.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fsar_core.data.files import PICTURES
from fsar_core.data.frame_sizes import SizeScan
from fsar_core.data.transforms import eight_bits

if TYPE_CHECKING:
    from PIL import Image

# Beyond what a clip can be: no memory is taken for what a header claims.
MAX_PIXELS = 7680 * 4320  # of a frame, as large as 8K video
MAX_RATIO = 100  # of the sides of a frame
MAX_FRAMES = 1_000_000  # nine hours at 30 a second

# FFmpeg tells a file by its content, not by its name, and a "video" may be a playlist that names other files or addresses.
# Only formats that hold their pictures themselves are opened, and nothing but the file.
CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,ivf,dv,nut,gif,h264,hevc,m4v,mjpeg,yuv4mpegpipe"
OPENED_SO = {
    "metadata_errors": "ignore",
    "options": {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
}
PICTURE_FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "BMP",
)  # of what PIL knows, none that runs another program


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
    not those that the file holds; PyAV then counts by decoding all of them. It reads the header first: decord opens whatever
    its FFmpeg knows, and believes any size and length.

    Raises:
        VideoProblem: the clip cannot be read, or the size of its frames changes.
    """
    if Path(path).is_dir():
        return _described(_Pictures(path), "pictures")
    _check_file(path)
    packets, hidden, doubt, resized = _packets(path)
    try:
        # decord scales frames of another size to the first one's without a word, and may return wrong ones.
        if resized:
            raise VideoProblem("the size of its frames may change")
        reader = _Decord(path)
        _check_frames(reader.total)
        info = _described(reader, "decord")
        reason = _miscounted(reader.total, packets, hidden)
    except VideoProblem as problem:
        reason = str(problem)
    if not reason:
        return info
    try:
        return _described(_PyAV(path, {0}), "pyav")
    except VideoProblem as problem:
        raise VideoProblem(f"{doubt}decord: {reason}; pyav: {problem}") from None


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
            # An absolute path begins with no name of a protocol (`concat:...`).
            self.reader = decord.VideoReader(
                os.path.abspath(path), ctx=decord.cpu(0), num_threads=1
            )
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
    wanted one. A size that changes is a VideoProblem: among all frames, or with `stop` among the wanted ones."""

    def __init__(self, path: Path, wanted: set[int], stop: bool = False) -> None:
        import av

        self.kept: dict[int, np.ndarray] = {}
        self.total = 0
        first = None
        try:
            with av.open(os.path.abspath(path), **OPENED_SO) as container:
                stream = container.streams.best("video")
                if stream is None:
                    raise VideoProblem("no video stream")
                stream.thread_count = 1
                self.fps = float(stream.average_rate or 0)
                # A truncated file ends in an error behind its last readable frame: what came before is sound.
                with contextlib.suppress(av.error.FFmpegError):
                    for frame in container.decode(stream):
                        size = frame.width, frame.height
                        first = first or size
                        if size != first and not stop:
                            raise VideoProblem(_size_change(first, size, self.total))
                        if self.total in wanted:
                            _check_size(frame.width, frame.height)
                            picture = frame.to_ndarray(format="rgb24")
                            self.kept[self.total] = np.rot90(picture, k=frame.rotation // 90)
                        self.total += 1
                        _check_frames(self.total)
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
        _check_frames(self.total)
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
            with Image.open(self.folder / name, formats=PICTURE_FORMATS) as picture:
                _check_size(picture.width, picture.height)
                return _rgb(picture)
        except VideoProblem as problem:
            raise VideoProblem(f"picture '{name}': {problem}") from None
        except Exception as error:  # OSError, but also SyntaxError and DecompressionBombError
            raise VideoProblem(f"picture '{name}': {_reason(error)}") from None


def _rgb(picture: Image.Image) -> np.ndarray:
    """uint8 [height width channels] of a picture of any kind.

    Grey values of 16 bits are scaled to 8, which Pillow's own conversion does not do: it cuts them off at 255.
    Colors of 16 bits come out of Pillow as their high byte.
    """
    if not picture.mode.startswith(("I", "F")):
        return np.asarray(picture.convert("RGB"))
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise VideoProblem(
            f"its pixels are {values.dtype} from {values.min()} to {values.max()}; expected 8 or 16 bits"
        )
    return np.repeat(eight_bits(values)[..., None], 3, axis=-1)


def pictures_in(folder: Path, endings: tuple[str, ...]) -> list[str]:
    """Names of a folder's pictures in their natural order (2 before 10), hidden ones left out."""
    try:
        names = [
            path.name for path in Path(folder).iterdir() if path.name.lower().endswith(endings)
        ]
    except OSError as error:
        raise VideoProblem(_reason(error)) from None
    return sorted((name for name in names if not name.startswith(".")), key=_natural)


def _described(reader, decoder: str) -> VideoInfo:
    height, width, _ = reader.frames(np.array([0]))[0].shape
    _check_size(width, height)
    return VideoInfo(reader.total, reader.fps, height, width, decoder)


def _size_change(first: tuple[int, int], other: tuple[int, int], number: int) -> str:
    return f"the size of its frames changes from {first[0]} x {first[1]} to {other[0]} x {other[1]} at frame {number}"


def _packets(path: Path) -> tuple[int, int, str, bool]:
    """Pictures that the file holds, how many of them an edit list hides, what makes its header doubtful (an empty text:
    nothing), and whether the size of the pictures may change. Reads the file, decodes key frames only.

    Raises:
        VideoProblem: no video, or one of a size or length that no clip has.
    """
    import av

    packets = hidden = 0
    doubt = ""
    sizes = None
    try:
        with av.open(os.path.abspath(path), **OPENED_SO) as container:
            stream = container.streams.best("video")
            if stream is None:
                raise VideoProblem("pyav: no video stream")
            _check_frames(stream.frames)
            codec = stream.codec_context  # None: of a codec that this FFmpeg does not know
            if codec is not None and codec.width:
                _check_size(codec.width, codec.height)
            else:  # also of a size that FFmpeg itself does not believe
                doubt = "the header says no possible size; "
            if codec is not None:
                sizes = SizeScan(stream)
            with contextlib.suppress(av.error.FFmpegError):
                for packet in container.demux(stream):
                    packets += packet.size > 0
                    hidden += packet.size > 0 and packet.is_discard
                    if sizes is not None:
                        sizes.add(packet)
    except av.error.ArgumentError:
        raise VideoProblem(
            "pyav: not a container of video that is opened here (a playlist?)"
        ) from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoProblem(f"pyav: {_reason(error)}") from None
    _check_frames(packets)
    return packets, hidden, doubt, sizes is not None and sizes.changed


def _miscounted(total: int, packets: int, hidden: int) -> str:
    """Why `total` is not the number of frames that a player would show, or an empty text."""
    if hidden:
        return f"counts {hidden} frames that an edit list hides"
    return "" if packets == total else f"counts {total} frames where there are {packets}"


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_RATIO * min(width, height):
        raise VideoProblem(
            f"says that its frames are {width} x {height} pixels; at most {MAX_PIXELS:,} are read, one side at most {MAX_RATIO} "
            f"times the other"
        )


def _check_frames(total: int) -> None:
    if total > MAX_FRAMES:
        raise VideoProblem(f"says that it has {total:,} frames; at most {MAX_FRAMES:,} are read")


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
    lines = [
        line for line in str(getattr(error, "strerror", None) or error).splitlines() if line.strip()
    ]
    text = lines[0] if lines else type(error).__name__
    text = re.sub(
        r"Error reading .*\.\.\.$",
        "not readable as a video",
        text.split("Check failed:")[-1].strip(),
    )
    text = re.sub(r"cannot identify image file .*", "not readable as a picture", text)
    return text[:120]
