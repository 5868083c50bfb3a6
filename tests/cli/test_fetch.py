"""`fsar fetch`: one file, with the SHA-256 that is expected, or one line and nothing left."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import threading

import pytest

from fsar_core.__main__ import main
from fsar_core.storage import download

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

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "served")
    )
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
        ("x.pt", "0" * 64, f"its SHA-256 is {SHA256}, expected 000"),
        ("y.pt", SHA256, "HTTP Error 404"),
    ],
)
def test_nothing_else_is_kept(served, tmp_path, capsys, name, sha256, reason):
    out = tmp_path / "out" / "x.pt"
    assert fetch(f"{served}/{name}", out, sha256) == 2
    assert list(out.parent.iterdir()) == []
    line = capsys.readouterr().err
    assert (
        line.startswith(f"fsar: error: {served}/{name}: cannot be downloaded ({reason}")
        and line.count("\n") == 1
    )
    assert line.endswith(
        "download it elsewhere and name the file as `weights`, or correct `sha256`\n"
    )


def test_nobody_answers(served, tmp_path, capsys):
    assert fetch("http://127.0.0.1:9/x.pt", tmp_path / "x.pt") == 2
    assert "cannot be downloaded (" in capsys.readouterr().err
    assert fetch("nonsense", tmp_path / "x.pt") == 2
    assert "nonsense: cannot be downloaded (unknown url type" in capsys.readouterr().err


@pytest.mark.parametrize(
    "sha256",
    ["", SHA256[:8], SHA256[:-1], SHA256 + "0", "g" * 64, SHA256 + "\n", "٣" * 64],
    ids=range(7),
)
def test_a_sha256_has_64_hexadecimal_digits(served, tmp_path, capsys, sha256):
    """A short one would be matched by many files, an empty one by all."""
    out = tmp_path / "out" / "x.pt"
    assert fetch(f"{served}/x.pt", out, sha256) == 2
    line = capsys.readouterr().err
    assert (
        line.startswith("fsar: error: --sha256: expected 64 hexadecimal digits")
        and line.count("\n") == 1
    )
    assert not out.parent.exists()
    assert fetch(f"{served}/x.pt", out, SHA256.upper()) == 0


@pytest.fixture
def silent(monkeypatch):
    """silent(said) is the address of a server that says so much and then keeps the connection open."""
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = []

        def serve(said, end=False):
            def answer():
                connection, _ = server.accept()
                connections.append(connection)
                connection.recv(4096)
                connection.sendall(said)
                if end:
                    connection.close()

            threading.Thread(target=answer, daemon=True).start()
            return f"http://127.0.0.1:{server.getsockname()[1]}/x.pt"

        yield serve
        for connection in connections:
            connection.close()


HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\n\r\n".encode()


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\n", HEAD, HEAD + CONTENT[:100]], ids=range(4)
)
@pytest.mark.timeout(20)
def test_a_server_that_falls_silent_is_not_waited_for(silent, tmp_path, capsys, said):
    out = tmp_path / "out" / "x.pt"
    address = silent(said)
    assert fetch(address, out) == 2
    assert f"{address}: cannot be downloaded (no data for 0.5 s); " in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n", HEAD, HEAD + CONTENT[:100]], ids=range(4))
@pytest.mark.timeout(20)
def test_a_connection_that_ends_early_leaves_no_file(silent, tmp_path, capsys, said):
    out = tmp_path / "out" / "x.pt"
    out.parent.mkdir()
    out.write_text("an earlier file")
    assert fetch(silent(said, end=True), out) == 2
    line = capsys.readouterr().err
    assert "cannot be downloaded (" in line and line.count("\n") == 1
    assert [path.name for path in out.parent.iterdir()] == [
        "x.pt"
    ] and out.read_text() == "an earlier file"
