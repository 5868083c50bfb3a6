"""Files of others': no code in them is run, and none takes more time or memory than a clip may."""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
import zarr
from PIL import Image

from fsar_core.config import UNFOLDED, Card, load, read_yaml
from fsar_core.data import decoding
from fsar_core.data.decoding import VideoProblem, decode, probe
from fsar_core.data.isolation import MEMORY_GIB, Lost, isolated_map
from fsar_core.errors import FsarError
from fsar_core.stores import layout
from tests.builders import toy_card, write_code_video


def failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert str(error.value).isprintable()
    return str(error.value)


# -- YAML --------------------------------------------------------------------------------------------------------------

TAGS = [
    "title: !!python/object/apply:os.system ['touch PWNED']",
    "title: !!python/object/new:os.system ['touch PWNED']",
    "title: !!python/name:os.system",
    "title: !!python/module:os",
    "title: !!python/object/apply:subprocess.check_output [[touch, PWNED]]",
    "!!python/object/apply:os.system ['touch PWNED']",
    "title: !include /etc/passwd",
    "title: !!binary notbase64!",
    "? !!python/object/apply:os.system ['touch PWNED']\n: x",
]


@pytest.mark.parametrize("text", TAGS)
def test_tags_make_nothing(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    Path("card.yaml").write_text(text)
    message = failure(lambda: load(Card, Path("card.yaml")))
    assert message.startswith("card.yaml")
    assert not Path("PWNED").exists()
    if "python" in text:
        assert "could not determine a constructor for the tag" in message


def test_the_tags_would_have_worked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yaml.unsafe_load(TAGS[0])
    assert Path("PWNED").exists()


def test_a_flood_of_aliases(tmp_path):
    """A few lines that stand for ten thousand million values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    started = time.time()
    message = failure(lambda: read_yaml(tmp_path / "x.yaml"))
    assert message.endswith(f"its aliases (`*name`) unfold to more than {UNFOLDED:,} values")
    assert time.time() - started < 5


@pytest.mark.parametrize("text", ["&a [*a]", "x: &a {y: *a}", "&a {? *a : 1}"])
def test_an_alias_of_itself(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    message = failure(lambda: read_yaml(tmp_path / "x.yaml"))
    assert (
        "line 1 holds itself by an alias" in message
        or "unconstructed" in message
        or "unhashable" in message
    )


def test_deep_nesting(tmp_path):
    (tmp_path / "x.yaml").write_text("[" * 20_000)
    assert "nested too deeply" in failure(lambda: read_yaml(tmp_path / "x.yaml"))


@pytest.mark.parametrize(
    ("text", "line", "first", "key"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "a"),
        ("x:\n  y:\n    - {z: 1, z: 1}\n", 3, 3, "z"),
        ("a: 1\n'a': 2\n", 2, 1, "a"),
        ("1: a\n0x1: b\n", 2, 1, "0x1"),
        ("a: {x: 1}\nb: &b {x: 1}\n<<: *b\n<<: *b\n", 4, 3, "<<"),
        ("a: &a {x: 1, x: 2}\n", 1, 1, "x"),
    ],
)
def test_a_key_that_stands_twice(tmp_path, text, line, first, key):
    """Parsers take the last one silently, so that `lr:` at the top of a block says nothing any more."""
    (tmp_path / "x.yaml").write_text(text)
    message = failure(lambda: read_yaml(tmp_path / "x.yaml"))
    assert message == (
        f"{tmp_path}/x.yaml: not readable as YAML: line {line}: the key '{key}' is in line {first} already; remove one of them"
    )


def test_ordinary_anchors_work(tmp_path):
    (tmp_path / "x.yaml").write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")
    assert read_yaml(tmp_path / "x.yaml") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
    (tmp_path / "x.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "x.yaml") is None


@pytest.mark.parametrize("name", ["x" * 300, ".", "a\0b"])
def test_files_that_cannot_be_read(tmp_path, name):
    assert failure(lambda: read_yaml(tmp_path / name))


# -- stores ------------------------------------------------------------------------------------------------------------


def test_a_store_names_no_codec_that_runs_code(tmp_path):
    zarr.create_array(tmp_path / "data.zarr", name="a", shape=(4,), chunks=(4,), dtype="f4")
    path = tmp_path / "data.zarr" / "a" / "zarr.json"
    value = json.loads(path.read_text())
    for codec in ("numcodecs.pickle", "pickle", "os.system"):
        path.write_text(json.dumps(value | {"codecs": [{"name": codec, "configuration": {}}]}))
        message = failure(lambda: layout.open_arrays(tmp_path, ["a"])["a"][:])
        assert "cannot be opened" in message


# -- videos ------------------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(VideoProblem) as problem:
        probe(path)
    assert str(path.parent) not in str(problem.value)
    return str(problem.value)


def avi(path: Path, width: int = 64, height: int = 64, frames: int = 5) -> Path:
    """A sound video whose header claims something else."""
    data = bytearray(write_code_video(path, frames=5, codec="ffv1").read_bytes())
    size = data.index(b"strf") + 12
    data[size : size + 8] = struct.pack("<ii", width, height)
    for mark, offset in ((b"avih", 24), (b"strh", 40)):
        at = data.index(mark) + offset
        data[at : at + 4] = struct.pack("<i", frames)
    path.write_bytes(data)
    return path


def test_the_headers_are_found_where_they_are_written(tmp_path):
    assert probe(avi(tmp_path / "x.avi")).frames == 5


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        (
            dict(width=16_000, height=16_000),
            "says that its frames are 16000 x 16000 pixels; at most 33,177,600 are read",
        ),
        (
            dict(width=2, height=8_000),
            "says that its frames are 2 x 8000 pixels; at most 33,177,600 are read, one side at most",
        ),
        (dict(frames=10**9), "says that it has 1,000,000,000 frames; at most 1,000,000 are read"),
    ],
)
def test_absurd_sizes_and_lengths(tmp_path, claims, words, monkeypatch):
    """Refused by what the header says, before a decoder believes it."""
    monkeypatch.setattr(decoding, "_Decord", None)
    started = time.time()
    assert words in refused(avi(tmp_path / "x.avi", **claims))
    assert time.time() - started < 5


def test_a_size_that_no_decoder_believes(tmp_path):
    assert refused(avi(tmp_path / "x.avi", width=100_000, height=100_000)).startswith(
        "the header says no possible size; decord: "
    )


def test_a_table_of_a_hundred_million_frames(tmp_path, monkeypatch):
    """An .mp4 of 4 kB whose tables say so; an index of them would take gigabytes."""
    data = bytearray(write_code_video(tmp_path / "x.mp4", frames=5).read_bytes())
    for mark, offset, values in (
        (b"stsz", 8, (1, 10**8)),
        (b"stsc", 12, (1, 10**8, 1)),
        (b"stts", 12, (10**8,)),
    ):
        at = data.index(mark) + offset
        data[at : at + 4 * len(values)] = struct.pack(f">{len(values)}I", *values)
    (tmp_path / "x.mp4").write_bytes(data)
    monkeypatch.setattr(decoding, "_Decord", None)
    assert "says that it has 100,000,000 frames" in refused(tmp_path / "x.mp4")


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
    "hls of an address": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile secret.ts\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{secret}</BaseURL></Period></MPD>',
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", ["mp4", "avi", "m3u8", "webm"])
def test_a_video_that_is_a_list_of_others_is_not_read(tmp_path, kind, suffix):
    secret = write_code_video(tmp_path / "secret.ts", frames=5, clip=77)
    path = tmp_path / f"clip.{suffix}"
    path.write_text(PLAYLISTS[kind].format(secret=secret))
    assert refused(path).startswith("pyav: ")
    with pytest.raises(VideoProblem):
        decode(path, np.array([0]), "pyav")


def test_decord_would_have_read_it(tmp_path):
    decord = pytest.importorskip("decord")
    secret = write_code_video(tmp_path / "secret.ts", frames=5, clip=77)
    (tmp_path / "clip.mp4").write_text(PLAYLISTS["hls"].format(secret=secret))
    assert len(decord.VideoReader(str(tmp_path / "clip.mp4"))) == 5


def test_a_name_is_no_protocol(tmp_path, monkeypatch):
    """FFmpeg takes what stands before a colon for one."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "concat:a.mp4|b.mp4",
        "file:x.mp4",
        "http:x.mp4",
        "subfile,,start,0,end,9,,:x.mp4",
        "-i.mp4",
        "%03d.mp4",
    ):
        write_code_video(tmp_path / "plain.mp4", frames=4).rename(tmp_path / name)
        assert probe(Path(name)).frames == 4
        assert decode(Path(name), np.array([1]))[0].shape == (1, 64, 64, 3)


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_pictures_of_absurd_size(tmp_path):
    """A PNG of a hundred bytes that claims 50,000 x 50,000 pixels, and one that is a line."""
    folder = tmp_path / "clip"
    folder.mkdir()
    Image.new("1", (8, 8)).save(folder / "1.png")
    data = (folder / "1.png").read_bytes()
    for width, height in ((50_000, 50_000), (8_000, 8_000), (30_000, 2)):
        (folder / "1.png").write_bytes(data[:16] + struct.pack(">II", width, height) + data[24:])
        started = time.time()
        assert refused(folder).startswith("picture '1.png': ")
        assert time.time() - started < 2


def test_a_picture_that_needs_another_program(tmp_path):
    """PIL hands PostScript to Ghostscript, whatever the file is called."""
    folder = tmp_path / "clip"
    folder.mkdir()
    text = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(PWNED) (w) file closefile\nshowpage\n%%EOF\n"
    (folder / "1.png").write_text(text)
    with Image.open(folder / "1.png") as picture:
        assert picture.format == "EPS"  # PIL would
    assert refused(folder) == "picture '1.png': not readable as a picture"


def test_a_folder_of_too_many_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_FRAMES", 2)
    for number in range(3):
        Image.new("L", (8, 8)).save(tmp_path / f"{number}.png")
    assert refused(tmp_path) == "says that it has 3 frames; at most 2 are read"


# -- memory ------------------------------------------------------------------------------------------------------------


def take(gib: float) -> float:
    """Runs in another process."""
    return float(np.ones(int(gib * 2**27))[-1])


@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="memory is limited on Linux only"
)
def test_a_clip_that_wants_all_memory_is_lost_alone():
    found = list(isolated_map(take, [0.1, MEMORY_GIB + 0.5, 0.1], workers=1, timeout=60))
    assert found == [1.0, Lost(f"more than {MEMORY_GIB} GiB of memory needed"), 1.0]


def test_a_pickle_in_place_of_tensors_says_so(tmp_path):
    """The readers of checkpoints, weights and episodes have tests of their own; here, that no verb says yes to one."""
    from fsar_core.__main__ import main

    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "PWNED"),)

    torch.save({"run": "x", "model": Harmful()}, tmp_path / "checkpoint.pt")
    np.savez(tmp_path / "episodes.npz", labels=np.array([Harmful()], dtype=object))
    (tmp_path / "plain.pt").write_bytes(__import__("pickle").dumps(Harmful()))
    for name in ("checkpoint.pt", "episodes.npz", "plain.pt"):
        main(["verify", str(tmp_path / name)])
    assert not (tmp_path / "PWNED").exists()


def test_a_card_with_everything_wrong_is_still_one_line(tmp_path):
    for change in (
        {"generator": "../x"},
        {"group": "(?P<group>"},
        {"classes": [["a"]]},
        {"max_failures": float("nan")},
    ):
        (tmp_path / "card.yaml").write_text(yaml.safe_dump(toy_card(**change)))
        with pytest.raises(FsarError):
            load(Card, tmp_path / "card.yaml")
            from fsar_core.data import demo

            demo.split_table(change["generator"], {"train": 1, "val": 1, "test": 1})
