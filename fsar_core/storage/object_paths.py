"""Objects in a bucket of an object store that speaks S3 (`s3://bucket/prefix`), by obstore.

`ObjectPath` implements the part of `pathlib.Path` that stores use, so that code which reads and
writes stores is written once. It is no path of the file system: `Path(...)` refuses it. An object
exists whole or not at all: it is put by one request, or by several of which the last makes it
visible.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from fsar_core.errors import FsarError
from fsar_core.storage.object_client import client, obstore_module, reason_of

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
KEY = re.compile(r"[A-Za-z0-9._=+@-]+(/[A-Za-z0-9._=+@-]+)*")


class NoConditions(FsarError):
    """The object store knows no conditional requests."""


class Forbidden(FsarError):
    """The credentials do not allow this request."""


class Held(NamedTuple):
    """An object as a listing describes it.

    Attributes:
        changed: when it was put, in seconds since 1970, by the object store's clock.
    """

    path: ObjectPath
    bytes: int
    changed: float

    @classmethod
    def of(cls, path: ObjectPath) -> Held:
        """Return what is known of one object; raise FileNotFoundError without one."""
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
        """Return the path of `s3://bucket/prefix`; raise FsarError for anything else."""
        text = re.sub("//[^/]*@", "//***@", str(text))  # keys that somebody put there are not told
        scheme, mark, rest = text.partition("://")
        if scheme != "s3" or not mark:
            raise FsarError(
                f"'{text}': expected a folder or s3://bucket/prefix; of object stores those are "
                f"supported that speak S3 (their address in AWS_ENDPOINT_URL)"
            )
        bucket, _, key = rest.partition("/")
        key = key.removesuffix("/")
        if not BUCKET.fullmatch(bucket):
            raise FsarError(
                f"'{text}': '{bucket}' is no name of a bucket; expected s3://bucket/prefix"
            )
        if key and (not KEY.fullmatch(key) or {".", ".."} & set(key.split("/"))):
            raise FsarError(
                f"'{text}': the prefix '{key}' holds other than letters, digits and . _ - = + @ "
                f"between single slashes; choose another one"
            )
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".removesuffix("/")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and (self.bucket, self.key) == (
            other.bucket,
            other.key,
        )

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
        return [
            ObjectPath(self.bucket, "/".join(parts[:count]))
            for count in range(len(parts) - 1, -1, -1)
        ]

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
        """Return the part of the name below `root`."""
        return self.key.removeprefix(f"{root.key}/" if root.key else "")

    # Requests.

    def head(self) -> dict[str, Any] | None:
        """Return what is known of an object; None without one."""
        with contextlib.suppress(FileNotFoundError), self._asked("reached"):
            return obstore_module().head(client(self.bucket), self.key)
        return None

    def is_file(self) -> bool:
        return bool(self.key) and self.head() is not None

    def exists(self) -> bool:
        """Say whether there is an object of this name, or any below it."""
        return self.is_file() or self.is_dir()

    def is_dir(self) -> bool:
        """Say whether there are objects below this name."""
        return next(self.objects(), None) is not None

    def read_bytes(self) -> bytes:
        with self._asked("read"):
            return bytes(obstore_module().get(client(self.bucket), self.key).bytes())

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def sha256(self) -> str:
        """Return the SHA-256 of all bytes, in hexadecimal; they are read piece by piece."""
        total = hashlib.sha256()
        with self._asked("read"):
            for piece in obstore_module().get(client(self.bucket), self.key).stream():
                total.update(piece)
        return total.hexdigest()

    def last(self, size: int) -> tuple[bytes, int]:
        """Return the last bytes of an object, and how many it has in all."""
        with self._asked("read"):
            found = obstore_module().get(
                client(self.bucket), self.key, options={"range": {"suffix": size}}
            )
            return bytes(found.bytes()), found.meta["size"]

    def ranges(self, starts: list[int], ends: list[int]) -> list[memoryview]:
        """Return ranges of bytes, each up to its end; neighboring ones come by one request."""
        with self._asked("read"):
            found = obstore_module().get_ranges(
                client(self.bucket), self.key, starts=starts, ends=ends
            )
        return [memoryview(part) for part in found]

    def write_bytes(self, data: bytes) -> None:
        with self._asked("written"):
            obstore_module().put(client(self.bucket), self.key, data)

    def put_if(self, data: bytes, version: str | None) -> str | None:
        """Write an object by one conditional request.

        Args:
            version: that it must still have; None if there must be no object yet.
        Returns:
            Its new version; None if the condition does not hold.
        Raises:
            NoConditions: the object store cannot do that.
        """
        mode = "create" if version is None else {"e_tag": version}
        try:
            with self._asked("written"):
                done = obstore_module().put(
                    client(self.bucket), self.key, data, mode=mode, use_multipart=False
                )
        except (FileExistsError, FileNotFoundError):
            return None
        return done["e_tag"]

    def unlink(self, missing_ok: bool = False) -> None:
        if not missing_ok and not self.is_file():
            raise self._missing()
        remove([self])

    def objects(self) -> Iterator[Held]:
        """Iterate over all objects below this name, in the order of their names."""
        prefix = f"{self.key}/" if self.key else None
        with self._asked("listed"):
            for part in obstore_module().list(client(self.bucket), prefix=prefix):
                for told in part:
                    path = ObjectPath(self.bucket, told["path"])
                    yield Held(path, told["size"], told["last_modified"].timestamp())

    def zarr_store(self):
        """Return Zarr's view of what is below this name."""
        from zarr.storage import ObjectStore

        return ObjectStore(client(self.bucket, self.key))

    def _check_bucket(self, error: Exception) -> None:
        if "NoSuchBucket" in str(error):
            raise FsarError(
                f"{self}: there is no bucket '{self.bucket}'; make it, or name another one"
            ) from None

    def _missing(self) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Raise obstore's errors as those of files, and others as FsarError."""
        obstore_module()
        from obstore.exceptions import (
            AlreadyExistsError,
            BaseError,
            PermissionDeniedError,
            PreconditionError,
        )

        try:
            yield
        except FileNotFoundError as error:
            self._check_bucket(error)
            raise self._missing() from None
        except (AlreadyExistsError, PreconditionError):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self)) from None
        except (BaseError, PermissionError) as error:
            self._check_bucket(error)
            reason = reason_of(str(error))
            kind = FsarError
            if "NotImplemented" in reason:
                kind = NoConditions
            elif isinstance(error, PermissionError | PermissionDeniedError):
                kind = Forbidden
            raise kind(
                f"{self}: cannot be {what} ({reason}); check the network, AWS_ENDPOINT_URL, "
                f"AWS_REGION and the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
            ) from None


def remove(paths: list[ObjectPath]) -> None:
    """Delete objects of one bucket, many by one request; missing ones are no mistake."""
    for start in range(0, len(paths), 1000):
        part = paths[start : start + 1000]
        with contextlib.suppress(FileNotFoundError), part[0]._asked("deleted"):
            obstore_module().delete(client(part[0].bucket), [path.key for path in part])
