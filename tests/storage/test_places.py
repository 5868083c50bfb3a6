"""Places in a bucket behave as files do, where stores need it; what cannot be is told in one line."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
import time
from pathlib import Path

import pytest

from fsar_core.config import Roots
from fsar_core.errors import FsarError
from fsar_core.storage import locks, object_client, object_paths, places
from fsar_core.storage.locks import alone
from fsar_core.storage.object_paths import ObjectPath, remove
from fsar_core.storage.places import MARK, check_usable, place, sizes
from fsar_core.storage.provenance import atomic_write, file_sha256, read_json, write_json

ROOTS = {"data": "data", "weights": "weights", "results": "results"}


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a/b_c.d/", "my.bucket-1", "a/b_c.d"),
    ],
)
def test_an_address_is_a_bucket_and_a_prefix(text, bucket, key):
    found = place(text)
    assert isinstance(found, ObjectPath) and (found.bucket, found.key) == (bucket, key)
    assert str(found) == text.rstrip("/") and place(found) is found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gs://bucket/a", "expected a folder or s3://bucket/prefix"),
        ("https://bucket/a", "expected a folder or s3://bucket/prefix"),
        ("s3:/bucket/a", "expected a folder or s3://bucket/prefix"),
        ("s3://", "'' is no name of a bucket"),
        ("s3://Bucket/a", "'Bucket' is no name of a bucket"),
        ("s3://key:secret@bucket/a", "'s3://***@bucket/a': '***@bucket' is no name of a bucket"),
        ("s3://bucket/a//b", "between single slashes"),
        ("s3://bucket/../b", "between single slashes"),
        ("s3://bucket/{store}", "between single slashes"),
        ("s3://bucket/a?b", "between single slashes"),
    ],
)
def test_other_addresses_are_refused_in_the_configuration_too(text, told):
    assert told in _failure(lambda: place(text))
    with pytest.raises(ValueError) as error:
        Roots(**ROOTS, stores=text)
    assert told in str(error.value)


def test_the_stores_alone_may_lie_in_a_bucket():
    assert Roots(**ROOTS, stores="s3://bucket/a").stores == ObjectPath("bucket", "a")
    assert Roots(**ROOTS, stores="stores/a").stores == Path("stores/a")
    assert (
        Roots(**ROOTS, stores="s3://bucket/a").model_dump(mode="json")["stores"] == "s3://bucket/a"
    )


def test_names_are_put_together_and_taken_apart_as_those_of_files():
    path = ObjectPath("bucket") / "a" / "b" / "c.d.json"
    file = Path("/a/b/c.d.json")
    assert str(path) == "s3://bucket/a/b/c.d.json"
    assert (path.name, path.stem, path.suffix) == (file.name, file.stem, file.suffix)
    assert [str(p) for p in path.parents] == ["s3://bucket/a/b", "s3://bucket/a", "s3://bucket"]
    assert path.parent == path.parents[0] and len({path, path.parent / "c.d.json"}) == 1
    assert (
        path.below(ObjectPath("bucket")) == "a/b/c.d.json"
        and path.below(path.parents[1]) == "b/c.d.json"
    )
    with pytest.raises(TypeError):
        Path(path)


def test_objects_are_written_read_listed_and_deleted(bucket):
    data = bytes(range(256)) * 40
    path = bucket / "a" / "x.bin"
    assert not path.exists() and not path.is_file() and path.head() is None
    path.write_bytes(data)
    (bucket / "a" / "b" / "y").write_bytes(b"y")
    (bucket / "ab").write_bytes(b"beside")
    assert (
        path.read_bytes() == data
        and path.is_file()
        and (bucket / "a").is_dir()
        and not (bucket / "a").is_file()
    )
    assert file_sha256(path) == hashlib.sha256(data).hexdigest()
    assert path.last(4) == (data[-4:], len(data))
    assert [bytes(part) for part in path.ranges([0, 1000], [3, 1004])] == [
        data[:3],
        data[1000:1004],
    ]
    held = list((bucket / "a").objects())
    assert [(one.path, one.bytes) for one in held] == [(bucket / "a/b/y", 1), (path, len(data))]
    assert abs(held[0].changed - time.time()) < 60
    assert sizes(bucket / "a", ["x.bin", "b/y", "z"]) == {"x.bin": len(data), "b/y": 1}
    remove([path, bucket / "a" / "not there"])
    assert [str(one.path) for one in bucket.objects()] == [f"{bucket}/a/b/y", f"{bucket}/ab"]
    with pytest.raises(FileNotFoundError):
        path.unlink()
    path.unlink(missing_ok=True)
    for call in (path.read_bytes, path.sha256, lambda: path.last(1)):
        with pytest.raises(FileNotFoundError) as error:
            call()
        assert error.value.filename == str(path)


def test_sizes_of_files_are_told_alike(tmp_path):
    (tmp_path / "a").write_bytes(b"four")
    assert sizes(tmp_path, ["a", "b"]) == {"a": 4}


def test_what_is_written_atomically_is_whole_or_not_there(bucket):
    path = bucket / "a.txt"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as stream:
        stream.write("half")
        raise ZeroDivisionError
    assert not path.exists()
    with atomic_write(path) as stream:
        stream.write("ä\n")
    assert path.read_bytes() == "ä\n".encode()
    with atomic_write(path, "wb") as stream:
        assert isinstance(stream, io.BytesIO)
        stream.write(b"\0")
    assert path.read_bytes() == b"\0"


def test_json_carries_its_checksum_there_too(bucket):
    path = bucket / "a.json"
    write_json(path, {"b": [1, 2.5]})
    assert read_json(path, "") == {"b": [1, 2.5]}
    path.write_bytes(path.read_bytes().replace(b"2.5", b"2.6"))
    assert _failure(lambda: read_json(path, "")) == (
        f"{path}: damaged (its content is not that of its sha256); mend it with `fsar repair {path}`"
    )
    assert (
        _failure(lambda: read_json(bucket / "no.json", "make it"))
        == f"{bucket}/no.json: missing; make it"
    )


def test_a_bucket_that_is_not_there_is_told(bucket):
    other = ObjectPath("no-such-bucket", "a")
    assert "there is no bucket 'no-such-bucket'" in _failure(lambda: (other / "x").write_bytes(b""))
    assert "there is no bucket 'no-such-bucket'" in _failure(lambda: list(other.objects()))


def test_a_server_that_does_not_answer_is_told_without_secrets(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(object_client, "RETRIES", {"max_retries": 0})
    object_client.client.cache_clear()
    for call in (bucket.is_dir, (bucket / "a").read_bytes, lambda: (bucket / "a").write_bytes(b"")):
        told = _failure(call)
        assert told.startswith(str(bucket)) and "check the network, AWS_ENDPOINT_URL" in told
        assert "secret" not in told.replace("AWS_SECRET_ACCESS_KEY", "")


def test_a_missing_extra_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr(places, "find_spec", lambda name: None)
    check_usable(Path("stores"))
    told = _failure(lambda: check_usable(ObjectPath("bucket", "a")))
    assert told == (
        'roots.stores is s3://bucket/a, and obstore is not installed: pip install -e ".[s3]" -c constraints.txt'
    )


def test_a_used_bucket_is_never_empty(bucket):
    check_usable(bucket / "a")
    before = (bucket / "a" / MARK).head()
    check_usable(bucket / "a")
    assert before is not None and (bucket / "a" / MARK).head() == before


def test_one_holder_at_a_time(bucket, monkeypatch, capsys):
    path, inside, seen = bucket / "locks" / "1.lock", [], []

    def work(name: str) -> None:
        with alone(path, name):
            inside.append(name)
            seen.append(len(inside))
            time.sleep(0.3)
            inside.remove(name)

    threads = [threading.Thread(target=work, args=[f"w{n}"]) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1, 1] and not path.exists()
    assert f"fsar: {path} is held by process" in capsys.readouterr().err


def test_a_lock_that_is_renewed_is_not_taken_over(bucket, monkeypatch):
    monkeypatch.setattr(locks, "RENEWED", 0.1)
    monkeypatch.setattr(locks, "STALE", 1.0)
    path, order = bucket / "1.lock", []

    def second() -> None:
        with alone(path, "second"):
            order.append("second")

    with alone(path, "first"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(2.5)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    "left",
    [
        b'{"pid": 1, "host": "elsewhere", "since": "2026-01-01 00:00:00", "work": "fill job 1"}',
        b'{"pid": 4194305, "host": "%s", "since": "2026-01-01 00:00:00", "work": "fill job 1"}',
        b"",
    ],
    ids=["another machine", "a dead process", "nothing"],
)
def test_a_lock_that_nobody_renews_is_free(bucket, monkeypatch, left):
    """Of another machine after a while; of a process of this one that has ended at once."""
    monkeypatch.setattr(locks, "STALE", 1.0)
    path = bucket / "1.lock"
    path.write_bytes(left.replace(b"%s", locks.socket.gethostname().encode()))
    began = time.monotonic()
    with alone(path, "mine"):
        waited = time.monotonic() - began
        assert b"mine" in path.read_bytes()
    assert (waited >= 1.0) == (b"elsewhere" in left)
    assert not path.exists()


def test_a_request_that_is_not_allowed_is_told_from_others(bucket, monkeypatch):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = b"<Error><Code>AccessDenied</Code></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *of):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    object_client.client.cache_clear()
    with pytest.raises(object_paths.Forbidden, match="lacked the necessary privileges"):
        ObjectPath("bucket", "a").write_bytes(b"x")
    server.shutdown()
    object_client.client.cache_clear()


def test_where_conditions_are_unknown_nothing_is_held(monkeypatch):
    class Plain(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = (
                b"<Error><Code>NotImplemented</Code></Error>"
                if self.headers["If-None-Match"]
                else b""
            )
            self.send_response(501 if answer else 200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *of):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "ACCESS_KEY_ID": "k",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setattr(object_client, "RETRIES", {"max_retries": 0})
    object_client.client.cache_clear()
    path, done = ObjectPath("bucket", "1.lock"), []
    path.write_bytes(b"")
    with pytest.raises(object_paths.NoConditions):
        path.put_if(b"", None)
    with alone(path, "mine"):
        done.append("mine")
    assert done == ["mine"]
    server.shutdown()
    object_client.client.cache_clear()
