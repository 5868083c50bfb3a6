"""`fsar fetch`: one file, with the SHA-256 that is expected, or one line and nothing left."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading

import pytest

from fsar_core.__main__ import main

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def served(tmp_path):
    """The address of a folder that holds x.pt."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "x.pt").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "served"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def fetch(address, out, sha256=SHA256) -> int:
    return main(["fetch", "--address", address, "--sha256", sha256, "--out", str(out)])


def test_it_is_kept_under_its_name(served, tmp_path, capsys):
    out = tmp_path / "a" / "b" / "y.pt"
    assert fetch(f"{served}/x.pt", out) == 0
    assert out.read_bytes() == CONTENT and [path.name for path in out.parent.iterdir()] == ["y.pt"]
    assert capsys.readouterr().out == f"{out}: 0.0 MiB of {served}/x.pt\n"


def test_a_file_of_this_machine(tmp_path):
    (tmp_path / "x.pt").write_bytes(CONTENT)
    assert fetch(f"file://{tmp_path}/x.pt", tmp_path / "y.pt") == 0
    assert (tmp_path / "y.pt").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "sha256", "reason"),
    [
        ("x.pt", "0" * 64, 'invalid hash value (expected "000'),
        ("y.pt", SHA256, "HTTP Error 404"),
    ],
)
def test_nothing_else_is_kept(served, tmp_path, capsys, name, sha256, reason):
    out = tmp_path / "out" / "x.pt"
    assert fetch(f"{served}/{name}", out, sha256) == 2
    assert list(out.parent.iterdir()) == []
    line = capsys.readouterr().err
    assert line.startswith(f"fsar: error: {served}/{name}: cannot be had ({reason}") and line.count("\n") == 1
    assert line.endswith("fetch it elsewhere and name the file as `weights`, or correct `sha256`\n")


def test_nobody_answers(served, tmp_path, capsys):
    assert fetch("http://127.0.0.1:9/x.pt", tmp_path / "x.pt") == 2
    assert "cannot be had (" in capsys.readouterr().err
    assert fetch("nonsense", tmp_path / "x.pt") == 2
    assert "nonsense: cannot be had (unknown url type" in capsys.readouterr().err
