"""Whether the size of the frames may change within a video, found without decoding all of it.

In most codecs a new size comes with a key frame, so that decoding the key frames is enough. In VP9 any frame
may have a size of its own. Whether it does is read from its header (VP9 Bitstream Specification 0.6, section
6.2, `uncompressed_header` and `frame_size_with_refs`).
"""

from __future__ import annotations

import contextlib
from typing import Any

VP9_HEADER = 5  # bytes of a frame that are needed below


class SizeScan:
    """Looks at the packets of a video stream, one after the other.

    Attributes:
        changed: whether the size of the frames may have changed. A stream whose size stays may be doubted too,
            for example where its header and its first frame disagree: decode all of it to be sure.
    """

    def __init__(self, stream: Any) -> None:
        """
        Args:
            stream: of PyAV, not yet decoded from. Its decoder is used and left without a defined state.
        """
        from av.bitstream import BitStreamFilterContext

        self.changed = False
        self._size: tuple[int, int] | None = None
        self._codec = stream.codec_context
        self._codec.thread_count = 1
        # The decoder of MJPEG, where every frame is a key frame, reads the size even of frames that it skips.
        self._codec.skip_frame = "ALL" if self._codec.name == "mjpeg" else "NONKEY"
        is_vp9 = self._codec.name.endswith("vp9")
        self._split = BitStreamFilterContext("vp9_superframe_split", stream) if is_vp9 else None

    def add(self, packet: Any) -> None:
        """Look at the next packet. Damaged ones are passed over."""
        from av.error import FFmpegError

        if self._split is None or packet.is_keyframe:
            # The decoder of VP9 skips nothing, and is given key frames only.
            with contextlib.suppress(FFmpegError):
                packet.decode()
                size = self._codec.width, self._codec.height
                self.changed |= self._size not in (None, size)
                self._size = size
        if self._split is not None and packet.size:
            with contextlib.suppress(FFmpegError):
                frames = self._split.filter(packet)  # takes the packet's content away
                self.changed |= any(
                    vp9_frame_may_resize(bytes(memoryview(frame)[:VP9_HEADER])) for frame in frames
                )


def vp9_frame_may_resize(header: bytes) -> bool:
    """Whether a VP9 frame that is no key frame may differ in size from the frames before it.

    A frame normally takes the size of its first reference. By induction, all frames up to the next key frame have
    one size if each of them does so.

    Args:
        header: the first VP9_HEADER bytes of the frame.
    """
    bits = f"{int.from_bytes(header.ljust(VP9_HEADER, bytes(1)), 'big'):0{8 * VP9_HEADER}b}"
    profile = bits[3] + bits[2]
    at = 5 if profile == "11" else 4
    show_existing, is_inter, show, resilient = (bit == "1" for bit in bits[at : at + 4])
    if show_existing or not is_inter:
        return False
    at += 4
    if not show:
        if bits[at] == "1":  # an intra-only frame, which has an explicit size
            return True
        at += 1
    if not resilient:
        at += 2  # reset_frame_context
    at += 8 + 3 * (3 + 1)  # refresh_frame_flags; index and sign of three references
    takes_size_of_first_reference = bits[at] == "1"
    return not takes_size_of_first_reference
