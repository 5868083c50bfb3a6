"""Instance masks that come with a data set: PNGs beside the clips, of every frame.

Source: own. A PNG holds all frames of a clip below one another, or a folder holds a PNG a frame, in the natural order of their
names; the card's `masks` says where. They are as many and as large as the frames of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from fsar_core.components.mask_provider import ClipFrames, ClipMasks, MaskProvider
from fsar_core.data.decoding import PICTURE_FORMATS, VideoProblem, pictures_in
from fsar_core.data.files import is_inside
from fsar_core.data.transforms import eight_bits, fit_square
from fsar_core.errors import FsarError
from fsar_core.specs import FrameSpec

MAX_SOFT = 255  # a sure pixel of a soft mask in 8 bits


class Annotated(MaskProvider):
    """Masks from the data set's folder.

    Args:
        values: what a PNG holds. "ids": the number of an instance, 0 for the rest; "soft": 0 to 255 (65535 in a PNG of 16
            bits), how surely an instance is there.
        folder: of the data set.
        source: the card's `masks`.
        frames: the frame store's spec: masks are resized and cut as its frames are.
    """

    def __init__(
        self,
        values: Literal["ids", "soft"] = "ids",
        folder: Path | None = None,
        source: str | None = None,
        frames: FrameSpec | None = None,
    ):
        super().__init__()
        self.values, self.folder, self.source, self.spec = values, folder, source, frames

    def forward(self, clips: Sequence[ClipFrames]) -> list[ClipMasks | str]:
        """For each clip masks of the store's size, without scores, or why it has none."""
        if self.folder is None or self.source is None or self.spec is None:
            raise FsarError(
                "annotated: needs a data set with masks; say in its card where they lie (`masks`)"
            )
        return [self._of(clip) for clip in clips]

    def _of(self, clip: ClipFrames) -> ClipMasks | str:
        record = clip.record
        path = Path(self.folder) / located(self.source, record)
        if not is_inside(self.folder, path):
            return f"masks '{path.name}' are a link that leads out of the data set's folder"
        try:
            masks = _read(
                path,
                int(record["frames"]),
                int(record["height"]),
                int(record["width"]),
                np.unique(clip.taken),
            )
        except VideoProblem as problem:
            return str(problem)
        if self.values == "ids":
            masks = np.where(masks > 0, np.uint8(255), np.uint8(0))
        elif masks.dtype == np.uint16:
            if 0 < masks.max() <= MAX_SOFT:
                return f"masks '{path.name}' have 16 bits, but no value above {MAX_SOFT} of 65535; save them with 8 bits"
            masks = eight_bits(masks)
        elif masks.dtype != np.uint8:
            return f"masks '{path.name}' are {masks.dtype}, expected 8 or 16 bits"
        inverse = np.searchsorted(np.unique(clip.taken), clip.taken)
        return ClipMasks(fit_square(masks, self.spec.size, self.spec.fit)[inverse])


def located(source: str, record: dict) -> str:
    """The path of a clip's masks below the data set's folder."""
    file = PurePosixPath(record["file"])
    video = file.name if record["decoder"] == "pictures" else file.stem
    return source.replace("{folder}", file.parent.name).replace("{video}", video)


def _read(path: Path, total: int, height: int, width: int, wanted: np.ndarray) -> np.ndarray:
    """[wanted height width] of the masks of `total` frames. VideoProblem for anything else than that many of that size."""
    if path.is_dir():
        names = pictures_in(path, (".png",))
        if len(names) != total:
            raise VideoProblem(f"{len(names)} masks in '{path.name}' for {total} frames")
        masks = [_picture(path / names[i]) for i in wanted]
        for i, mask in zip(wanted, masks):
            _check_size(mask, height, width, names[i])
        return np.stack(masks)
    sheet = _picture(path)
    _check_size(sheet, total * height, width, path.name)
    return sheet.reshape(total, height, width)[wanted]


def _picture(path: Path) -> np.ndarray:
    """A grey or palette picture as it is stored."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            values = np.asarray(picture)
    except FileNotFoundError:
        raise VideoProblem(f"no masks '{path.name}'") from None
    except Exception as error:  # OSError, but also SyntaxError and DecompressionBombError
        raise VideoProblem(
            f"masks '{path.name}' not readable as a picture ({type(error).__name__})"
        ) from None
    if values.ndim != 2:
        raise VideoProblem(f"masks '{path.name}' have {values.ndim} axes, expected a grey picture")
    return values


def _check_size(mask: np.ndarray, height: int, width: int, name: str) -> None:
    if mask.shape != (height, width):
        raise VideoProblem(
            f"masks '{name}' are {mask.shape[0]} x {mask.shape[1]} pixels, expected {height} x {width}"
        )
