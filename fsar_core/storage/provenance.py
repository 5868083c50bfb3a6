"""Where a result comes from: digests of specs and code, the environment of a job, whole files.

Snakemake sees a change of a rule's text and parameters but not of the package behind `python -m
fsar_core VERB`, so the rules carry `code_digest(...)` of what they run. Digests are taken of the
syntax tree without docstrings: comments, docstrings and layout change nothing, a formula does.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import platform
import re
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

from fsar_core.errors import FsarError, mend, naming
from fsar_core.storage import locks
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place

SUM = "sha256"  # the key of a JSON file's own checksum
_ASKING = threading.Lock()  # for the umask, which there is no asking without setting

# What numbers come from, beside fsar itself: networks, decoders, resizing, codecs.
PACKAGES = (
    *("fsar", "torch", "torchvision", "numpy", "zarr", "numcodecs", "decord", "av", "pillow"),
    *("open_clip_torch", "transformers", "safetensors"),
)
# Wording of errors, listing, leases, digests themselves and their comparison never change a number.
NEUTRAL = frozenset(
    f"fsar_core{name}"
    for name in (
        *("", ".config", ".errors", ".components", ".runtime", ".storage"),
        *(".components.parameters", ".components.registry", ".components.source"),
        *(".components.validation", ".runtime.devices"),
        *(".storage.bindings", ".storage.locks", ".storage.object_client", ".storage.object_paths"),
        *(".storage.places", ".storage.provenance"),
    )
)


def canonical_json(value: Any) -> str:
    """One text for equal values: sorted keys, no blanks, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def digest(value: Any, length: int = 12) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def file_sha256(path: Place) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    if isinstance(path, ObjectPath):
        return path.sha256()
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_digest(*modules: str) -> str:
    """Return a digest of modules and of every fsar_core module that they import.

    Docstrings and comments do not count.

    Components reached through the registry by name are not imports: name those that a spec uses
    beside the entry module.
    """
    closure: set[str] = set()
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module not in closure and module not in NEUTRAL:
            closure.add(module)
            pending += _imports(module)
    return digest({module: _module_digest(module) for module in sorted(closure)})


def _source(module: str) -> Path | None:
    """Return the file of a module of this package.

    `importlib.util.find_spec` would import the parents, and torch with them.
    """
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    return next(
        (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None
    )


@cache
def _tree(module: str) -> ast.Module:
    file = _source(module)
    if file is None:
        raise ModuleNotFoundError(f"no module {module} to take a digest of")
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _module_digest(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_docstring(statement)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_docstring(statement: ast.stmt) -> bool:
    """Say whether a statement is a docstring: of a module, class, function or attribute."""
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
        return False
    return isinstance(statement.value.value, str)


@cache
def _imports(module: str) -> tuple[str, ...]:
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fsar_core"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {node.module, *(name for name in names if _source(name))}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("fsar_core")}
    return tuple(sorted(found))


def environment() -> dict[str, str]:
    """Return what may change a result besides the spec: versions, machine, threads."""
    from importlib import metadata

    record = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
    }
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            record[package] = metadata.version(package)
    record["threads"] = os.environ.get("OMP_NUM_THREADS", "")
    return record


@contextlib.contextmanager
def atomic_write(path: Place, mode: str = "w") -> Iterator[IO]:
    """Write a file that is either whole or does not exist.

    A temporary file next to it is flushed to disk and renamed; an object is put by one request.
    """
    if isinstance(path, ObjectPath):
        stream = io.BytesIO() if "b" in mode else io.StringIO(newline="\n")
        yield stream
        data = stream.getvalue()
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    locks.mark_busy(handle)
    try:
        with (
            naming(path),
            os.fdopen(
                handle, mode, **({} if "b" in mode else {"encoding": "utf-8", "newline": "\n"})
            ) as stream,
        ):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with _ASKING:
            umask = os.umask(0)
            os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_json(path: Place, value: dict[str, Any]) -> None:
    """Write a readable JSON file atomically, with sorted keys and its SHA-256 under `sha256`."""
    plain = json.loads(
        json.dumps({name: each for name, each in value.items() if name != SUM}, allow_nan=False)
    )
    summed = {**plain, SUM: digest(plain, length=64)}
    with atomic_write(path) as stream:
        json.dump(summed, stream, indent=1, sort_keys=True, allow_nan=False)
        stream.write("\n")


def read_json(path: Place, remedy: str) -> dict[str, Any]:
    """Return what `write_json` wrote, without its checksum, which older files lack.

    Raises:
        FsarError: missing (with the remedy), no JSON object, or another content than the
        checksum's.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FsarError(f"{path}: missing; {remedy}") from None
    except (ValueError, RecursionError):
        raise FsarError(f"{path}: damaged (no JSON); {mend(path)}") from None
    if not isinstance(value, dict):
        raise FsarError(f"{path}: damaged (no JSON object); {mend(path)}")
    found = value.pop(SUM, None)
    # `NaN` is read, but never written.
    if found is not None and (not _finite(value) or digest(value, length=64) != found):
        raise FsarError(f"{path}: damaged (its content is not that of its sha256); {mend(path)}")
    return value


def json_sums(path: Place) -> set[str]:
    """Return what may be the checksum of the written content.

    That is the recorded one, and that of the present content.
    """
    text = path.read_bytes().decode(errors="replace")
    found = set(
        re.findall(rf'^ "{SUM}": "([0-9a-f]{{64}})"', text, re.MULTILINE)
    )  # nested ones stand further right
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
        value.pop(SUM, None)
        found.add(digest(value, length=64))
    return found


def check_format(found: Any, known: int, path: Path) -> None:
    """Raise FsarError unless a file is of a format that this version knows."""
    if type(found) is not int or found < 1:
        raise FsarError(f"{path}: damaged (format {found!r}); {mend(path)}")
    if found > known:
        raise FsarError(
            f"{path}: has format {found}, and this fsar knows formats up to {known}: use the fsar "
            f"that wrote it (or a later "
            f"one), or move the file away and run snakemake to make it anew"
        )


def _finite(value: Any) -> bool:
    try:
        canonical_json(value)
    except ValueError:
        return False
    return True


def zip_damage(path: Path) -> str | None:
    """The member of a zip file (.npz, .pt) whose bytes are not those of its CRC-32, or None.

    Checked where a library reads members without their checksums, as torch does.

    Raises:
        zipfile.BadZipFile, and whatever else a damaged file gives.
    """
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()
