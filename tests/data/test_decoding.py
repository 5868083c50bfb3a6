"""Decoding: the right frame every time, and a reason in words for every file that cannot be read."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest

from fsar_core.data import decoding
from fsar_core.data.decoding import VideoProblem, decode, probe
from fsar_core.data.frame_sampling import frame_indices
from fsar_core.testing import code_picture, read_codes, shared, write_code_video

CLIPS = shared("real", "clips")
real = pytest.mark.skipif(
    not CLIPS.is_dir(), reason=f"no real clips at {CLIPS}; set FSAR_SHARED to the folder of real/"
)

KINDS = [
    ("mp4", "libx264"),
    ("mov", "libx264"),
    ("mkv", "ffv1"),
    ("avi", "mpeg4"),
    ("avi", "mjpeg"),
    ("webm", "libvpx"),
]


@pytest.mark.parametrize(("suffix", "codec"), KINDS)
def test_decord_and_pyav_give_the_frame_that_was_asked(tmp_path, suffix, codec):
    path = write_code_video(tmp_path / f"clip.{suffix}", frames=40, clip=5, codec=codec)
    wanted = np.array([39, 0, 13, 12, 11, 13, 38, 25])
    decord, pyav = decoding._Decord(path), decoding._PyAV(path, wanted)
    for reader in (decord, pyav):
        assert reader.total == 40 and reader.fps == pytest.approx(30)
        assert read_codes(reader.frames(wanted)) == [(5, i) for i in wanted]
        assert read_codes(reader.frame(0)[None]) == [(5, 0)]
    np.testing.assert_array_equal(decord.frames(wanted), pyav.frames(wanted))


def test_long_gaps_between_key_frames(tmp_path):
    path = write_code_video(tmp_path / "clip.mp4", frames=200, gop=250, codec="libx264")
    wanted = frame_indices("segment_centre", 200, 8)
    assert read_codes(decode(path, wanted)) == [(0, i) for i in (12, 37, 62, 87, 112, 137, 162, 187)]


def test_probe_describes_what_is_shown(tmp_path):
    path = write_code_video(tmp_path / "clip.mp4", frames=25, height=48, width=80, fps=24)
    assert probe(path) == decoding.VideoInfo(frames=25, fps=24.0, height=48, width=80, decoder="decord")
    frames = decode(path, np.array([3]))
    assert frames.shape == (1, 48, 80, 3) and frames.dtype == np.uint8
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
    for reader in (decoding._Decord(tmp_path / "c.mp4"), decoding._PyAV(tmp_path / "c.mp4", np.array([0]))):
        assert np.abs(reader.frame(0).reshape(-1, 3).mean(axis=0) - (200, 100, 20)).max() < 6


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


@pytest.mark.parametrize(("degrees", "shape"), [(90, (128, 64)), (180, (64, 128)), (270, (128, 64))])
def test_rotation_metadata_is_applied_by_both_decoders(tmp_path, degrees, shape):
    path = write_code_video(tmp_path / "clip.mp4", frames=5, clip=77, height=64, width=128)
    _rotate(path, degrees)
    info = probe(path)
    assert (info.height, info.width) == shape
    expected = np.rot90(code_picture(77, 2, 64, 128).astype(int), k=-degrees // 90)  # clockwise
    for reader in (decoding._Decord(path), decoding._PyAV(path, np.array([2]))):
        assert np.abs(reader.frame(2) - expected).max() <= 3


@pytest.mark.parametrize("degrees", [90, 270])
def test_rotated_clips_of_an_odd_width_are_read_too(tmp_path, degrees):
    # decord cannot copy rotated rows that its filter has padded (48 * 3 bytes here, 1080 * 3 from a telephone).
    path = write_code_video(tmp_path / "clip.mp4", frames=5, clip=77, height=48, width=80)
    _rotate(path, degrees)
    info = probe(path)
    assert (info.frames, info.height, info.width) == (5, 80, 48)
    found = decode(path, np.array([4, 1]))
    for picture, number in zip(found, (4, 1)):
        expected = np.rot90(code_picture(77, number, 48, 80).astype(int), k=-degrees // 90)
        assert np.abs(picture - expected).max() <= 3


def _audio(path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


UNREADABLE = {
    "missing": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "no such file"),
    "empty": (lambda path: path.touch(), "empty file"),
    "text": (lambda path: path.write_text("not a video\n" * 50), "Invalid data found when processing input"),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), "Invalid data found when processing input"),
    "no index": (lambda path: _cut(write_code_video(path), 0.5), "Invalid data found when processing input"),
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
    for call in (lambda: probe(path), lambda: decode(path, np.array([0]))):
        with pytest.raises(VideoProblem) as problem:
            call()
        assert words in str(problem.value)
        # Reasons are kept in indices and manifests: no line break, no path of one machine.
        assert "\n" not in str(problem.value) and str(tmp_path) not in str(problem.value)


def test_a_truncated_stream_gives_its_sound_beginning(tmp_path):
    path = write_code_video(tmp_path / "clip.mkv", frames=60)
    _cut(path, 0.5)
    found = probe(path).frames
    assert 10 < found < 40
    assert read_codes(decode(path, np.arange(found))) == [(0, i) for i in range(found)]


def test_pyav_reads_what_decord_rejects(tmp_path):
    whole, path = write_code_video(tmp_path / "whole.mp4", frames=60), tmp_path / "front.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert probe(path).decoder == "decord"
    _cut(path, 0.7)
    with pytest.raises(VideoProblem):
        decoding._Decord(path).frame(0)
    info = probe(path)
    assert info.decoder == "pyav" and 10 < info.frames < 55
    assert read_codes(decode(path, np.arange(info.frames))) == [(0, i) for i in range(info.frames)]


@pytest.mark.parametrize("first", ["decord", "pyav"])
def test_a_frame_behind_the_end_is_a_problem(tmp_path, monkeypatch, first):
    path = write_code_video(tmp_path / "clip.mp4", frames=10)
    if first == "pyav":
        monkeypatch.setattr(decoding, "_Decord", _reject)
    assert probe(path).decoder == first
    with pytest.raises(VideoProblem, match="frame 10 asked, 10 present"):
        decode(path, np.array([0, 10]))


def _reject(path):
    raise VideoProblem("rejected")


@real
def test_real_corrupted_clip_is_a_problem_and_no_crash():
    # Its header promises 50 frames; the stream breaks in the middle, which only decoding finds.
    info = probe(CLIPS / "corrupted.mp4")
    assert (info.frames, info.height, info.width) == (50, 720, 1280)
    with pytest.raises(VideoProblem, match="rror"):
        decode(CLIPS / "corrupted.mp4", frame_indices("segment_centre", info.frames, 8))


@real
@pytest.mark.parametrize(
    ("name", "shape"), [("0", (320, 568)), ("90", (568, 320)), ("180", (320, 568)), ("270", (568, 320))]
)
def test_real_rotations(name, shape):
    path = CLIPS / f"rotated_{name}.mov"
    info = probe(path)
    assert (info.height, info.width) == shape
    np.testing.assert_array_equal(decoding._Decord(path).frame(1), decoding._PyAV(path, np.array([1])).frame(1))


@real
@pytest.mark.parametrize(
    ("name", "frames"), [("unordered.mov", 4), ("xvid.avi", 164), ("kinetics_arm_wrestling.mp4", 280)]
)
def test_real_clips_agree_between_decoders(name, frames):
    path = CLIPS / name
    assert probe(path).frames == frames
    wanted = frame_indices("segment_centre", frames, 4)
    np.testing.assert_array_equal(decoding._Decord(path).frames(wanted), decoding._PyAV(path, wanted).frames(wanted))
