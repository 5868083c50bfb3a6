"""Where stores lie: in folders, or in a bucket of an object store that speaks S3 (`s3://bucket/prefix`).

An `ObjectPath` has of `pathlib.Path` what stores need, under the same names, so that code which reads and writes stores says
everything once. What is behind it is obstore. It is no path of the file system and never taken for one: `Path(...)` refuses it.
An object is there whole or not at all: it is put by one request, or by several of which the last makes it visible.

Address, region and credentials come from the usual variables of the environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, ...), never from a configuration.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from fsar_core.errors import FsarError

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
KEY = re.compile(r"[A-Za-z0-9._=+@-]+(/[A-Za-z0-9._=+@-]+)*")
EXTRA = 'pip install -e ".[s3]" -c constraints.txt'
CLIENT = {"timeout": "600s", "connect_timeout": "10s"}
RETRIES = {"max_retries": 6}  # of what may pass by itself: a refused connection, a busy server
MARK = "fsar.json"


class NoConditions(FsarError):
    """The object store knows no conditional requests."""


class Forbidden(FsarError):
    """The credentials do not allow this request."""


class Held(NamedTuple):
    """An object as a listing tells it; `changed` in seconds since 1970, by the object store's clock."""

    path: ObjectPath
    bytes: int
    changed: float

    @classmethod
    def of(cls, path: ObjectPath) -> Held:
        """What is told of one object. FileNotFoundError where there is none."""
        told = path.head()
        if told is None:
            raise path._missing()
        return cls(path, told["size"], told["last_modified"].timestamp())


class ObjectPath:
    """An object, or all objects below a name."""

    __slots__ = ("bucket", "key")

    def __init__(self, bucket: str, key: str = "") -> None:
        self.bucket, self.key = bucket, key

    @classmethod
    def parse(cls, text: str) -> ObjectPath:
        """Of `s3://bucket/prefix`. FsarError for anything else."""
        text = re.sub("//[^/]*@", "//***@", str(text))  # keys that somebody put there are not told
        scheme, mark, rest = text.partition("://")
        if scheme != "s3" or not mark:
            raise FsarError(
                f"'{text}': expected a folder or s3://bucket/prefix; of object stores those are supported that speak S3 (their "
                f"address in AWS_ENDPOINT_URL)"
            )
        bucket, _, key = rest.partition("/")
        key = key.removesuffix("/")
        if not BUCKET.fullmatch(bucket):
            raise FsarError(f"'{text}': '{bucket}' is no name of a bucket; expected s3://bucket/prefix")
        if key and (not KEY.fullmatch(key) or {".", ".."} & set(key.split("/"))):
            raise FsarError(
                f"'{text}': the prefix '{key}' holds other than letters, digits and . _ - = + @ between single slashes; "
                f"choose another one"
            )
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".removesuffix("/")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and (self.bucket, self.key) == (other.bucket, other.key)

    def __hash__(self) -> int:
        return hash((self.bucket, self.key))

    def __lt__(self, other: object) -> bool:
        return str(self) < str(other)

    def __truediv__(self, name: str | PurePosixPath) -> ObjectPath:
        return ObjectPath(self.bucket, f"{self.key}/{name}" if self.key else str(name))

    @property
    def parent(self) -> ObjectPath:
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    @property
    def parents(self) -> list[ObjectPath]:
        """From the nearest on, the bucket last."""
        parts = self.key.split("/") if self.key else []
        return [ObjectPath(self.bucket, "/".join(parts[:count])) for count in range(len(parts) - 1, -1, -1)]

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    def below(self, root: ObjectPath) -> str:
        """The rest of the name below `root`."""
        return self.key.removeprefix(f"{root.key}/" if root.key else "")

    # -- requests ------------------------------------------------------------------------------------------------------

    def head(self) -> dict[str, Any] | None:
        """What is told of an object; None where there is none."""
        with contextlib.suppress(FileNotFoundError), self._asked("reached"):
            return obstore_module().head(client(self.bucket), self.key)
        return None

    def is_file(self) -> bool:
        return bool(self.key) and self.head() is not None

    def exists(self) -> bool:
        """An object of this name, or any below it."""
        return self.is_file() or self.is_dir()

    def is_dir(self) -> bool:
        """Objects below this name."""
        return next(self.objects(), None) is not None

    def read_bytes(self) -> bytes:
        with self._asked("read"):
            return bytes(obstore_module().get(client(self.bucket), self.key).bytes())

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def sha256(self) -> str:
        """Of all bytes, in hexadecimal; read piece by piece."""
        total = hashlib.sha256()
        with self._asked("read"):
            for piece in obstore_module().get(client(self.bucket), self.key).stream():
                total.update(piece)
        return total.hexdigest()

    def last(self, size: int) -> tuple[bytes, int]:
        """The last bytes of an object, and how many it has in all."""
        with self._asked("read"):
            found = obstore_module().get(client(self.bucket), self.key, options={"range": {"suffix": size}})
            return bytes(found.bytes()), found.meta["size"]

    def ranges(self, starts: list[int], ends: list[int]) -> list[memoryview]:
        """Ranges of bytes, each up to its end; those that lie near each other come by one request."""
        with self._asked("read"):
            found = obstore_module().get_ranges(client(self.bucket), self.key, starts=starts, ends=ends)
        return [memoryview(part) for part in found]

    def write_bytes(self, data: bytes) -> None:
        with self._asked("written"):
            obstore_module().put(client(self.bucket), self.key, data)

    def put_if(self, data: bytes, version: str | None) -> str | None:
        """Write an object that is not there yet (None) or is still of this version, by one conditional request.

        Returns:
            its new version; None where another object is there.
        Raises:
            NoConditions: the object store cannot do that.
        """
        mode = "create" if version is None else {"e_tag": version}
        try:
            with self._asked("written"):
                done = obstore_module().put(client(self.bucket), self.key, data, mode=mode, use_multipart=False)
        except (FileExistsError, FileNotFoundError):
            return None
        return done["e_tag"]

    def unlink(self, missing_ok: bool = False) -> None:
        if not missing_ok and not self.is_file():
            raise self._missing()
        remove([self])

    def objects(self) -> Iterator[Held]:
        """All objects below this name, in the order of their names, as they are listed: some at a time."""
        prefix = f"{self.key}/" if self.key else None
        with self._asked("listed"):
            for part in obstore_module().list(client(self.bucket), prefix=prefix):
                for told in part:
                    path = ObjectPath(self.bucket, told["path"])
                    yield Held(path, told["size"], told["last_modified"].timestamp())

    def zarr_store(self):
        """Zarr's view of what lies below this name."""
        from zarr.storage import ObjectStore

        return ObjectStore(client(self.bucket, self.key))

    def _check_bucket(self, error: Exception) -> None:
        if "NoSuchBucket" in str(error):
            raise FsarError(f"{self}: there is no bucket '{self.bucket}'; make it, or name another one") from None

    def _missing(self) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """obstore's errors as those of files, and what else goes wrong as one line."""
        obstore_module()
        from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, PreconditionError

        try:
            yield
        except FileNotFoundError as error:
            self._check_bucket(error)
            raise self._missing() from None
        except (AlreadyExistsError, PreconditionError):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self)) from None
        except (BaseError, PermissionError) as error:
            self._check_bucket(error)
            reason, kind = _reason(str(error)), FsarError
            if "NotImplemented" in reason:
                kind = NoConditions
            elif isinstance(error, PermissionError | PermissionDeniedError):
                kind = Forbidden
            raise kind(
                f"{self}: cannot be {what} ({reason}); check the network, AWS_ENDPOINT_URL, AWS_REGION and the credentials "
                f"(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
            ) from None


def remove(paths: list[ObjectPath]) -> None:
    """Delete objects of one bucket, many by one request; those that are not there are no mistake."""
    for start in range(0, len(paths), 1000):
        part = paths[start : start + 1000]
        with contextlib.suppress(FileNotFoundError), part[0]._asked("deleted"):
            obstore_module().delete(client(part[0].bucket), [path.key for path in part])


def region() -> str:
    """As the environment says; obstore reads it by itself, Snakemake's plugin has to be told."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _reason(text: str) -> str:
    """The telling part of obstore's first line, and what the server said."""
    first = text.partition("\n\nDebug source")[0]
    said = re.search(r"<Code>(\w+)</Code>", first)
    line = (first.splitlines() or ["no reason given"])[0]
    return f"{line[:200]}: {said[1]}" if said and said[1] not in line else line[:200]


def obstore_module():
    try:
        import obstore
    except ImportError:
        raise FsarError(f"stores on S3 need obstore: {EXTRA}") from None
    return obstore


@cache
def client(bucket: str, prefix: str | None = None):
    obstore_module()
    from obstore.store import S3Store

    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options = CLIENT | ({"allow_http": True} if (address or "").startswith("http://") else {})
    told = {"endpoint": address} if address else {}
    return S3Store(bucket, prefix=prefix, region=region(), client_options=options, retry_config=RETRIES, **told)
