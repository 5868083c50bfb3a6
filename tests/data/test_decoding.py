"""Decoding: the right frame every time, and a reason in words for every file that cannot be read."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from PIL import Image

from fsar_core.data import decoding
from fsar_core.data.decoding import VideoProblem, decode, probe
from fsar_core.data.frame_sampling import frame_indices
from fsar_core.data.frame_sizes import VP9_HEADER, vp9_frame_may_resize
from tests.builders import code_picture, read_codes, shared, write_code_video

CLIPS = shared("real", "clips")
real = pytest.mark.shared(
    "real/clips", checks="decoding of real videos: corrupted, rotated, out of order, five formats"
)

KINDS = [
    ("mp4", "libx264"),
    ("mov", "libx264"),
    ("mkv", "ffv1"),
    ("avi", "mpeg4"),
    ("avi", "mjpeg"),
    ("webm", "libvpx"),
]


def readers(path, wanted):
    return decoding._Decord(path), decoding._PyAV(path, set(wanted.tolist()))


def codes(path, wanted, decoder="decord"):
    return read_codes(decode(path, np.array(wanted), decoder)[0])


@pytest.mark.parametrize(("suffix", "codec"), KINDS)
def test_decord_and_pyav_give_the_frame_that_was_asked(tmp_path, suffix, codec):
    path = write_code_video(tmp_path / f"clip.{suffix}", frames=40, clip=5, codec=codec)
    wanted = np.array([39, 0, 13, 12, 11, 13, 38, 25])
    decord, pyav = readers(path, wanted)
    for reader in (decord, pyav):
        assert reader.total == 40 and reader.fps == pytest.approx(30)
        assert read_codes(reader.frames(wanted)) == [(5, i) for i in wanted]
    np.testing.assert_array_equal(decord.frames(wanted), pyav.frames(wanted))


def test_pyav_stops_behind_the_last_frame_that_is_asked(tmp_path):
    path = write_code_video(tmp_path / "clip.mp4", frames=40)
    assert decoding._PyAV(path, {3, 20}).total == 40
    reader = decoding._PyAV(path, {3, 20}, stop=True)
    assert reader.total == 21 and read_codes(reader.frames(np.array([20, 3]))) == [(0, 20), (0, 3)]


def test_long_gaps_between_key_frames(tmp_path):
    path = write_code_video(tmp_path / "clip.mp4", frames=200, gop=250, codec="libx264")
    wanted = frame_indices("segment_centre", 200, 8)
    assert codes(path, wanted) == [(0, i) for i in (12, 37, 62, 87, 112, 137, 162, 187)]


def test_probe_describes_what_is_shown(tmp_path):
    path = write_code_video(tmp_path / "clip.mp4", frames=25, height=48, width=80, fps=24)
    assert probe(path) == decoding.VideoInfo(
        frames=25, fps=24.0, height=48, width=80, decoder="decord"
    )
    frames, decoder = decode(path, np.array([3]))
    assert decoder == "decord" and frames.shape == (1, 48, 80, 3) and frames.dtype == np.uint8
    # Lossless but for the conversion of colours: black, white and the greys beside the code come back.
    assert np.abs(frames[0].astype(int) - code_picture(0, 3, 48, 80)).max() <= 3


def test_colours_are_rgb(tmp_path):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:] = (200, 100, 20)
    with av.open(str(tmp_path / "c.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    for reader in readers(tmp_path / "c.mp4", np.array([0])):
        assert (
            np.abs(reader.frames(np.array([0])).reshape(-1, 3).mean(axis=0) - (200, 100, 20)).max()
            < 6
        )


def _rotate(path, degrees: int) -> None:
    """Write a rotation into the track header of an .mp4, as a telephone does."""
    one, zero = 0x10000, 0
    a, b = {90: (zero, one), 180: (-one, zero), 270: (zero, -one)}[degrees]
    plain = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 0x40000000)
    turned = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 0x40000000)
    data = path.read_bytes()
    track = data.index(b"tkhd")
    at = data.index(plain, track)
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])


@pytest.mark.parametrize(
    ("degrees", "shape"), [(90, (128, 64)), (180, (64, 128)), (270, (128, 64))]
)
def test_rotation_metadata_is_applied_by_both_decoders(tmp_path, degrees, shape):
    path = write_code_video(tmp_path / "clip.mp4", frames=5, clip=77, height=64, width=128)
    _rotate(path, degrees)
    info = probe(path)
    assert (info.height, info.width) == shape
    expected = np.rot90(code_picture(77, 2, 64, 128).astype(int), k=-degrees // 90)  # clockwise
    for reader in readers(path, np.array([2])):
        assert np.abs(reader.frames(np.array([2]))[0] - expected).max() <= 3


@pytest.mark.parametrize("degrees", [90, 270])
def test_rotated_clips_of_an_odd_width_are_read_too(tmp_path, degrees):
    # decord cannot copy rotated rows that its filter has padded (48 * 3 bytes here, 1080 * 3 from a telephone).
    path = write_code_video(tmp_path / "clip.mp4", frames=5, clip=77, height=48, width=80)
    _rotate(path, degrees)
    info = probe(path)
    assert (info.frames, info.height, info.width) == (5, 80, 48)
    assert info.decoder == "pyav"
    found, _ = decode(path, np.array([4, 1]), info.decoder)
    for picture, number in zip(found, (4, 1)):
        expected = np.rot90(code_picture(77, number, 48, 80).astype(int), k=-degrees // 90)
        assert np.abs(picture - expected).max() <= 3


def _audio(path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


UNREADABLE = {
    "missing": (lambda path: None, "no such file"),
    "an empty folder": (lambda path: path.mkdir(), "no .jpg, .jpeg, .png in the folder"),
    "empty": (lambda path: path.touch(), "empty file"),
    "text": (
        lambda path: path.write_text("not a video\n" * 50),
        "Invalid data found when processing input",
    ),
    "zeros": (
        lambda path: path.write_bytes(bytes(5000)),
        "Invalid data found when processing input",
    ),
    "no index": (
        lambda path: _cut(write_code_video(path), 0.5),
        "Invalid data found when processing input",
    ),
    "sound only": (_audio, "pyav: no video stream"),
}


def _cut(path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_file_says_why(tmp_path, kind):
    make, words = UNREADABLE[kind]
    path = tmp_path / "clip.mp4"
    make(path)
    decoder = "pictures" if path.is_dir() else "decord"
    for call in (lambda: probe(path), lambda: decode(path, np.array([0]), decoder)):
        with pytest.raises(VideoProblem) as problem:
            call()
        assert words in str(problem.value)
        # Reasons are kept in indices and manifests: no line break, no path of one machine.
        assert "\n" not in str(problem.value) and str(tmp_path) not in str(problem.value)


def test_a_truncated_stream_gives_its_sound_beginning(tmp_path):
    path = write_code_video(tmp_path / "clip.mkv", frames=60)
    _cut(path, 0.5)
    info = probe(path)
    assert 10 < info.frames < 40
    assert codes(path, range(info.frames), info.decoder) == [(0, i) for i in range(info.frames)]


def test_pyav_reads_what_decord_rejects(tmp_path):
    whole, path = write_code_video(tmp_path / "whole.mp4", frames=60), tmp_path / "front.mp4"
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert probe(path).decoder == "decord"
    _cut(path, 0.7)
    with pytest.raises(VideoProblem):
        decoding._Decord(path)
    info = probe(path)
    assert info.decoder == "pyav" and 10 < info.frames < 55
    assert codes(path, range(info.frames), "pyav") == [(0, i) for i in range(info.frames)]
    # Who decoded is told where decord was expected.
    assert decode(path, np.array([2, 1]))[1] == "pyav"


def _hide(source, path, frames: int) -> None:
    """A copy in which an edit list hides the first frames: they are there, and shown before time 0."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as read, av.open(str(path), "w", options=options) as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux():
            if packet.dts is not None:
                packet.pts -= frames * packet.duration
                packet.dts -= frames * packet.duration
                packet.stream = stream
                written.mux(packet)


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path):
    path = tmp_path / "clip.mp4"
    _hide(write_code_video(tmp_path / "whole.mp4", frames=40), path, 5)
    assert decoding._Decord(path).total == 40  # which is why PyAV decodes it
    info = probe(path)
    assert (info.decoder, info.frames) == ("pyav", 35)
    assert codes(path, range(35), "pyav") == [(0, i) for i in range(5, 40)]
    with pytest.raises(VideoProblem, match="frame 35 asked, 35 present"):
        decode(path, np.array([0, 35]), "pyav")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_frame_rate(tmp_path, suffix):
    """Frames are counted, not timed, whatever time lies between them."""
    path, tick = tmp_path / f"clip.{suffix}", Fraction(1, 1000)
    gaps = [10, 200, 33, 33, 500, 5, 5, 100] * 5
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"qp": "0", "preset": "ultrafast", "bf": "2"}
        )
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = (
            64,
            64,
            "yuv420p",
            tick,
        )
        for number in range(40):
            picture = av.VideoFrame.from_ndarray(code_picture(3, number), format="rgb24")
            picture.pts, picture.time_base = sum(gaps[:number]), tick
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    info = probe(path)
    assert (info.frames, info.decoder) == (40, "decord")
    for decoder in ("decord", "pyav"):
        assert codes(path, [39, 0, 7, 20, 21], decoder) == [(3, i) for i in (39, 0, 7, 20, 21)]


@pytest.fixture
def pictures(tmp_path):
    """A function: names to a folder of lossless pictures, the one with the first name showing frame 0."""

    def made(*names: str):
        folder = tmp_path / "clip (1) [a] & b"
        folder.mkdir()
        for number, name in enumerate(names):
            Image.fromarray(code_picture(9, number, 48, 80)).save(folder / name, quality=95)
        return folder

    return made


def test_a_folder_of_frames_is_read_in_the_order_of_its_numbers(pictures):
    names = ["img_1.png", "img_2.PNG", "img_9.jpg", "img_10.jpeg", "img_11.png", "img_100.png"]
    folder = pictures(*names)
    (folder / "notes.txt").write_text("no picture")
    (folder / "._img_3.png").write_bytes(b"left by another system")
    assert probe(folder) == decoding.VideoInfo(
        frames=6, fps=0.0, height=48, width=80, decoder="pictures"
    )
    frames, decoder = decode(folder, np.array([5, 0, 3, 0]), "pictures")
    assert decoder == "pictures" and read_codes(frames) == [(9, 5), (9, 0), (9, 3), (9, 0)]
    np.testing.assert_array_equal(frames[0], code_picture(9, 5, 48, 80))


def test_what_a_folder_of_frames_may_not_hold(pictures):
    folder = pictures("1.png", "2.png", "3.png")
    with pytest.raises(VideoProblem, match="frame 3 asked, 3 present"):
        decode(folder, np.array([3]), "pictures")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:-60])
    for broken in (folder / "2.png").read_bytes(), b"no picture", b"":
        (folder / "2.png").write_bytes(broken)
        with pytest.raises(VideoProblem, match=r"picture '2\.png': ") as problem:
            decode(folder, np.array([0, 1]), "pictures")
        assert str(folder) not in str(problem.value)
    Image.new("RGB", (10, 10)).save(folder / "2.png")
    with pytest.raises(VideoProblem, match="the size of its frames changes"):
        decode(folder, np.array([0, 1]), "pictures")
    Image.new("L", (80, 48)).save(folder / "2.png")  # grey ones are no problem
    assert decode(folder, np.array([0, 1]), "pictures")[0].shape == (2, 48, 80, 3)
    Image.new("RGB", (80, 48)).save(folder / "2.jpg")
    with pytest.raises(VideoProblem, match="2 pictures are called '2'"):
        probe(folder)


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_a_frame_behind_the_end_is_a_problem(tmp_path, decoder):
    path = write_code_video(tmp_path / "clip.mp4", frames=10)
    with pytest.raises(VideoProblem, match="frame 10 asked, 10 present"):
        decode(path, np.array([0, 10]), decoder)


def test_without_decord_pyav_decodes_everything(tmp_path, monkeypatch):
    path = write_code_video(tmp_path / "clip.mp4", frames=10)
    monkeypatch.setitem(sys.modules, "decord", None)
    assert probe(path).decoder == "pyav"
    assert decode(path, np.array([7]))[1] == "pyav" and codes(path, [7, 2]) == [(0, 7), (0, 2)]


def encoded(codec: str, fmt: str, height: int, width: int, first: int) -> bytes:
    """30 frames that show the codes (1, first) to (1, first + 29), in the size given."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=fmt) as container:
        stream = container.add_stream(codec, rate=30, options={"g": "12"})
        stream.width, stream.height, stream.codec_context.thread_count = width, height, 1
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(30):
            picture = code_picture(1, first + number, height, width)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def resized(path, codec: str, fmt: str, joined: bool):
    """A video of 60 frames, the last 30 of another size: two streams one after the other, or their packets in one container."""
    halves = [encoded(codec, fmt, 64, 96, 0), encoded(codec, fmt, 128, 160, 30)]
    if joined:
        path.write_bytes(b"".join(halves))
        return path
    with av.open(str(path), "w") as target:
        stream = None
        for half, data in enumerate(halves):
            with av.open(io.BytesIO(data)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(source.streams.video[0]):
                    if packet.dts is not None:
                        packet.stream = stream
                        packet.pts += half * int(1 / packet.time_base)
                        packet.dts += half * int(1 / packet.time_base)
                        target.mux(packet)
    return path


RESIZED = [
    ("x.h264", "libx264", "h264", True),
    ("x.ts", "libx264", "mpegts", True),
    ("x.ts", "mpeg2video", "mpegts", True),
    ("x.m4v", "mpeg4", "m4v", True),
    ("x.avi", "mpeg4", "avi", False),
    ("x.avi", "mjpeg", "avi", False),
    ("x.webm", "libvpx", "webm", False),
    ("x.webm", "libvpx-vp9", "webm", False),
]


@pytest.mark.parametrize(("name", "codec", "fmt", "joined"), RESIZED)
def test_a_size_that_changes_is_a_problem(tmp_path, name, codec, fmt, joined):
    path = resized(tmp_path / name, codec, fmt, joined)
    with pytest.raises(
        VideoProblem,
        match=r"the size of its frames changes from 96 x 64 to 160 x 128 at frame (29|30)$",
    ):
        probe(path)


@pytest.mark.parametrize(("suffix", "codec"), [*KINDS, ("webm", "libvpx-vp9")])
def test_a_size_that_stays_is_not_doubted(tmp_path, suffix, codec):
    """Otherwise PyAV would decode such clips from their beginning."""
    path = write_code_video(
        tmp_path / f"clip.{suffix}", frames=40, height=48, width=80, codec=codec
    )
    assert probe(path).decoder == "decord"


def test_vp9_frames_of_another_size_than_their_first_reference(tmp_path):
    """Every frame but the first refers to frames of its own size; one bit of its header says so."""
    path = write_code_video(tmp_path / "clip.webm", frames=40, codec="libvpx-vp9", gop=100)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        split = BitStreamFilterContext("vp9_superframe_split", stream)
        packets = [packet for packet in container.demux(stream) if packet.size]
        frames = [bytes(frame) for packet in packets for frame in split.filter(packet)]
    assert len(frames) >= 40 and not any(
        vp9_frame_may_resize(frame[:VP9_HEADER]) for frame in frames
    )
    # marker, profile 0, no existing frame, inter frame, shown, not resilient, reset 0, refreshes slot 0, references 0, 1 and 2
    header = "100001100000000001000000100100"
    for bit, resizes in (("1", False), ("0", True)):
        assert (
            vp9_frame_may_resize(int(f"{header}{bit}".ljust(40, "0"), 2).to_bytes(5, "big"))
            is resizes
        )
    # A hidden frame may be intra-only and then has a size of its own.
    for bit, resizes in (("0", False), ("1", True)):
        hidden = f"10000100{bit}00000000010000001001001"
        assert vp9_frame_may_resize(int(hidden.ljust(40, "0"), 2).to_bytes(5, "big")) is resizes


def write_png(path, samples: np.ndarray, color: int) -> None:
    """A PNG of 16 bits with one line of samples [width channels]: 0 grey, 2 RGB, 4 grey and alpha, 6 RGB and alpha."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", len(samples), 1, 16, color, 0, 0, 0)
    data = zlib.compress(b"\0" + samples.astype(">u2").tobytes())
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("color", "channels", "expected"),
    [
        (0, 1, [0, 0, 1, 1, 128, 255]),
        (2, 3, [0, 0, 0, 1, 128, 255]),
        (4, 2, [0, 0, 0, 1, 128, 255]),
    ],
)
def test_pictures_of_16_bits_are_scaled(tmp_path, color, channels, expected):
    """Grey ones to the nearest of 256 levels, colours as Pillow gives them: by their high byte."""
    levels = np.array([0, 128, 129, 300, 32896, 65535])
    samples = np.repeat(levels[:, None], channels, axis=1)
    write_png(tmp_path / "1.png", samples, color)
    found, _ = decode(tmp_path, np.array([0]), "pictures")
    assert found.shape == (1, 1, 6, 3) and found[0, 0].tolist() == [
        [value] * 3 for value in expected
    ]


def test_pixels_of_other_kinds_are_scaled_or_refused():
    grey = decoding._rgb(Image.fromarray(np.array([[0, 300, 65535]], np.int32)))
    assert grey[0].tolist() == [[0] * 3, [1] * 3, [255] * 3]
    for values in (
        np.array([[0, 70000]], np.int32),
        np.array([[-1, 0]], np.int32),
        np.array([[0, 1]], np.float32),
    ):
        with pytest.raises(
            VideoProblem, match=r"its pixels are (int32|float32) from .*; expected 8 or 16 bits"
        ):
            decoding._rgb(Image.fromarray(values))


@real
def test_real_corrupted_clip_is_a_problem_and_no_crash():
    # Its header promises 50 frames; the stream breaks in the middle, which only decoding finds.
    info = probe(CLIPS / "corrupted.mp4")
    assert (info.frames, info.height, info.width) == (50, 720, 1280)
    with pytest.raises(VideoProblem, match="rror"):
        decode(CLIPS / "corrupted.mp4", frame_indices("segment_centre", info.frames, 8))


@real
@pytest.mark.parametrize(
    ("name", "shape"),
    [("0", (320, 568)), ("90", (568, 320)), ("180", (320, 568)), ("270", (568, 320))],
)
def test_real_rotations(name, shape):
    path = CLIPS / f"rotated_{name}.mov"
    info = probe(path)
    assert (info.height, info.width) == shape
    decord, pyav = readers(path, np.array([1]))
    np.testing.assert_array_equal(decord.frames(np.array([1])), pyav.frames(np.array([1])))


@real
@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("unordered.mov", 4),
        ("xvid.avi", 164),
        ("kinetics_arm_wrestling.mp4", 280),
        ("long_h264.mp4", 300),
        ("flipping_a_pancake.mkv", 310),
    ],
)
def test_real_clips_agree_between_decoders(name, frames):
    path = CLIPS / name
    assert probe(path).frames == frames
    wanted = frame_indices("segment_centre", frames, 4)
    decord, pyav = readers(path, wanted)
    np.testing.assert_array_equal(decord.frames(wanted), pyav.frames(wanted))
