"""Code digests against edited copies of the package; files that are whole or absent."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import math
import os
import shutil
import stat
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

import fsar_core
from fsar_core.components import registry
from fsar_core.errors import FsarError
from fsar_core.storage import provenance
from fsar_core.storage.provenance import (
    atomic_write,
    canonical_json,
    check_format,
    code_digest,
    digest,
    environment,
    file_sha256,
    read_json,
    write_json,
    zip_damage,
)

PACKAGE = Path(fsar_core.__file__).parent
WATCHED = {
    "otam": "fsar_core.metrics.otam",
    "bimhm": "fsar_core.metrics.bimhm",
    "identity": "fsar_core.heads.identity",
    "train": "fsar_core.cli.jobs.train",
    "table": "fsar_core.cli.jobs.table",
    "draw": "fsar_core.cli.jobs.draw_episodes",
}


def digests(root: Path) -> dict[str, str]:
    """The code digests of WATCHED in the copy of the package below `root`, by a fresh process."""
    code = (
        "import json, sys; from fsar_core.storage import provenance;"
        "print(provenance.__file__); print(json.dumps({k: provenance.code_digest(v) for k, v in WATCHED.items()}));"
        "print('torch' in sys.modules or 'numpy' in sys.modules)"
    ).replace("WATCHED", repr(WATCHED))
    variables = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    file, found, heavy = done.stdout.splitlines()
    assert Path(file).is_relative_to(root)
    assert heavy == "False"
    return json.loads(found)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("pristine")
    shutil.copytree(PACKAGE, root / "fsar_core", ignore=shutil.ignore_patterns("__pycache__"))
    return root, digests(root)


@pytest.fixture
def changed(pristine, tmp_path):
    """changed(file, edit): names of the digests that differ once edit(text) is written to the file."""

    def run(file, edit):
        root, before = pristine
        shutil.copytree(root / "fsar_core", tmp_path / "fsar_core")
        path = tmp_path / "fsar_core" / file
        text = path.read_text(encoding="utf-8")
        path.write_text(edit(text), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != text
        after = digests(tmp_path)
        return {name for name in WATCHED if before[name] != after[name]}

    return run


def flip_a_sign(text: str) -> str:
    """The first binary + or - of the module becomes the other."""
    tree = ast.parse(text)
    node = next(
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub)
    )
    node.op = ast.Add() if isinstance(node.op, ast.Sub) else ast.Sub()
    return ast.unparse(tree)


def reword_docstrings(text: str) -> str:
    """Other docstrings on the module, its classes, its functions and its first attribute."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            node.body = [ast.Expr(ast.Constant("Other words.")), *body]
            if isinstance(node, ast.ClassDef):
                node.body.insert(2, ast.Expr(ast.Constant("About an attribute.")))
    return ast.unparse(ast.fix_missing_locations(tree))


def without_layout(text: str) -> str:
    """No comments, no blank lines, the standard quotes and breaks."""
    return ast.unparse(ast.parse(text))


def comments(text: str) -> str:
    return "# A comment.\n" + text.replace("\n\n", "\n\n\n") + "\n# Another one.\n"


# Modules whose code is in no digest, and why no number depends on it.
NEUTRAL = {
    "fsar_core": "holds the version alone, which results record",
    "fsar_core.config": "reads the configuration; what it says is in the specs",
    "fsar_core.runtime.devices": "leases GPUs, meters waiting, decides how many episodes fit into memory",
    "fsar_core.errors": "words of messages",
    "fsar_core.storage.bindings": "compares digests and refuses; computes nothing that is kept but them",
    "fsar_core.storage.locks": "who may write; not what",
    "fsar_core.storage.object_client": "reaches an object store",
    "fsar_core.storage.object_paths": "moves bytes unchanged; their checksums are compared",
    "fsar_core.storage.places": "moves bytes to and from stores unchanged; their checksums are compared",
    "fsar_core.storage.provenance": "digests and whole files; checksums inside the files find a changed byte",
    "fsar_core.components": "says what is inside",
    "fsar_core.runtime": "says what is inside",
    "fsar_core.storage": "says what is inside",
    "fsar_core.components.parameters": "describes and checks values; changes none",
    "fsar_core.components.source": "reads signatures; defaults are in the component's own file",
    "fsar_core.components.validation": "checks arguments and passes them on",
    "fsar_core.components.registry": "finds a component by name; its code and parameters are in digest and spec",
}


def test_exactly_these_modules_are_in_no_digest():
    """Another module in the list would let its stale results pass as valid."""
    assert NEUTRAL.keys() == provenance.NEUTRAL


@pytest.mark.parametrize(
    "edit", [reword_docstrings, without_layout, comments], ids=lambda edit: edit.__name__
)
def test_words_and_layout_change_nothing(changed, edit):
    assert changed("layers/distances.py", edit) == set()


@pytest.mark.parametrize(
    ("file", "edit", "names"),
    [
        ("metrics/otam.py", flip_a_sign, {"otam"}),
        ("metrics/bimhm.py", flip_a_sign, {"bimhm"}),
        ("layers/distances.py", flip_a_sign, {"otam", "bimhm"}),
        (
            "metrics/otam.py",
            lambda text: text.replace("lambda_: Positive = 0.5", "lambda_: Positive = 0.6"),
            {"otam"},
        ),
        # A string that is no docstring counts.
        ("heads/identity.py", lambda text: text + "\nNAME = 'x'\n", {"identity"}),
        ("training/loop.py", flip_a_sign, {"train"}),  # imported inside a function
        ("cli/options/model.py", lambda text: text + "\nX = 1\n", {"train"}),
        ("episodes/sampler.py", lambda text: text + "\nX = 1\n", {"train", "draw"}),
        ("rendering/tables.py", lambda text: text + "\nX = 1\n", {"table"}),
        # Wording of errors, the registry and the configuration never change a number.
        ("errors.py", lambda text: text + "\nX = 1\n", set()),
        ("components/registry.py", lambda text: text + "\nX = 1\n", set()),
        ("config/stores.py", lambda text: text + "\nX = 1\n", set()),
        ("cli/list.py", lambda text: text + "\nX = 1\n", set()),
    ],
)
def test_code_changes_what_depends_on_it(changed, file, edit, names):
    assert changed(file, edit) == names


def test_code_digest_covers_every_named_module():
    one, other = code_digest("fsar_core.metrics.otam"), code_digest("fsar_core.heads.identity")
    both = code_digest("fsar_core.metrics.otam", "fsar_core.heads.identity")
    assert len({one, other, both}) == 3
    assert code_digest("fsar_core.heads.identity", "fsar_core.metrics.otam") == both
    # otam already imports its distances.
    assert code_digest("fsar_core.metrics.otam", "fsar_core.layers.distances") == one


@pytest.mark.parametrize(
    ("kind", "name", "layers"),
    [
        ("heads", "sgtm", {"transformer", "temporal_masking", "frame_classifier", "positions"}),
        ("heads", "i2st", {"joint_attention", "instance_perception", "distances", "positions"}),
        ("heads", "dmgal", {"motion", "motion_guided_attention", "positions"}),
        ("heads", "aim", {"adapters", "vision_transformer"}),
        ("matching", "global_local", {"distances"}),
    ],
)
def test_code_digest_of_a_component_covers_the_layers_it_uses(kind, name, layers):
    modules = registry.modules(kind, name, {})
    alone = code_digest(*modules)
    assert code_digest(*modules, *(f"fsar_core.layers.{layer}" for layer in layers)) == alone


def test_a_module_that_does_not_exist_is_told():
    with pytest.raises(ModuleNotFoundError, match=r"no module fsar_core\.metrics\.otma"):
        code_digest("fsar_core.metrics.otma")


def test_the_package_imports_itself_by_full_names():
    """`code_digest` follows `fsar_core.` names only, so that a relative import would be invisible to it."""
    relative = [
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert relative == []


def test_canonical_json():
    assert canonical_json({"b": [1, 2.5, None, True], "a": {"y": "ü", "x": ()}}) == (
        '{"a":{"x":[],"y":"\\u00fc"},"b":[1,2.5,null,true]}'
    )
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(math.nan)


def test_digest_is_the_sha256_of_the_text():
    text = b'{"a":1}'
    assert digest({"a": 1}) == hashlib.sha256(text).hexdigest()[:12] == "015abd7f5cc5"
    assert digest({"a": 1}, length=64) == hashlib.sha256(text).hexdigest()


def test_file_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert (
        file_sha256(tmp_path / "x")
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_environment_names_what_may_change_a_result(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = environment()
    assert {"python", "machine", "system", "fsar", "torch", "numpy", "zarr", "threads"} <= set(
        found
    )
    assert found["fsar"] == fsar_core.__version__
    assert found["threads"] == "7"
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "x.txt"
    with atomic_write(path) as stream:
        stream.write("ä\n")
        assert not path.exists()
    assert path.read_bytes() == b"\xc3\xa4\n"
    assert os.listdir(path.parent) == ["x.txt"]


def test_binary_and_replaced(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old, and longer")
    with atomic_write(path, "wb") as stream:
        stream.write(b"\r\n\0")
        assert path.read_bytes() == b"old, and longer"
    assert path.read_bytes() == b"\r\n\0"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "x.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(error), atomic_write(path) as stream:
        stream.write("new")
        stream.flush()
        raise error
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_failed_rename_leaves_no_temporary_file(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "x") as stream:
        stream.write("new")
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("named", [None, "other"])
def test_a_failed_write_names_the_file(tmp_path, named):
    """As that of a full disk does not; an error that names one keeps its name."""
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / "x"):
        raise OSError(28, "No space left on device", named)
    assert caught.value.filename == (named or str(tmp_path / "x"))


def test_flushed_to_disk_before_it_is_renamed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(provenance.os, "fsync", lambda handle: calls.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(
        provenance.os, "replace", lambda *paths: (calls.append("replace"), replace(*paths))
    )
    with atomic_write(tmp_path / "x") as stream:
        stream.write("new")
    assert calls == ["fsync", "replace"]
    assert (tmp_path / "x").read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "x") as stream:
            stream.write("new")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


def test_write_json(tmp_path):
    value = {"b": [1, "ü"], "a": {"d": None, "c": 0.1}}
    write_json(tmp_path / "x.json", value)
    # The SHA-256 of {"a":{"c":0.1,"d":null},"b":[1,"\\u00fc"]}, computed by sha256sum.
    found = "db9d8f4ab23d60beb2e8aae3e40818925883375c352efecb9d4a2db409a56f67"
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == (
        '{\n "a": {\n  "c": 0.1,\n  "d": null\n },\n "b": [\n  1,\n  "\\u00fc"\n ],\n "sha256": "'
        + found
        + '"\n}\n'
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"a": math.inf})
    assert read_json(tmp_path / "x.json", "") == value
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_json_makes_of_a_value_is_what_is_summed(tmp_path):
    """Tuples come back as lists, numbers used as keys as text in another order."""
    write_json(tmp_path / "x.json", {"a": (1, 2.50), "b": {10: "x", 9: "y"}})
    assert read_json(tmp_path / "x.json", "") == {"a": [1, 2.5], "b": {"10": "x", "9": "y"}}


def test_every_changed_or_missing_byte_of_a_json_file_is_found_or_harmless(tmp_path):
    path, value = tmp_path / "x.json", {"one": [1, 2.5, None], "two": {"text": "ä b", "yes": True}}
    write_json(path, value)
    whole, found = path.read_bytes(), 0
    for at in range(len(whole)):
        for changed in (b"", *(bytes([whole[at] ^ 1 << bit]) for bit in range(8))):
            path.write_bytes(whole[:at] + changed + whole[at + 1 :])
            try:
                read = read_json(path, "")
                # Blanks between values, or the key of the sum, which then stands beside the rest.
                assert {key: of for key, of in read.items() if key in value} == value, (at, changed)
            except FsarError as error:
                assert f"{path}: damaged" in str(
                    error
                ) and f"mend it with `fsar repair {path}`" in str(error)
                found += 1
    assert found > 0.9 * 9 * len(whole)


def test_read_json(tmp_path):
    path = tmp_path / "value.json"

    def failure() -> str:
        with pytest.raises(FsarError) as error:
            read_json(path, "do this")
        return str(error.value)

    assert failure() == f"{path}: missing; do this"
    path.write_text('{"a": 1}')  # of before there were sums
    assert read_json(path, "do this") == {"a": 1}
    for text in (b"\xff\xfe", b"{", b"", b"[" * 100_000):
        path.write_bytes(text)
        assert failure() == f"{path}: damaged (no JSON); mend it with `fsar repair {path}`"
    for text in ("[]", "null", "3"):
        path.write_text(text)
        assert failure() == f"{path}: damaged (no JSON object); mend it with `fsar repair {path}`"
    for text in ('{"a": 1, "sha256": "00"}', '{"a": NaN, "sha256": "00"}', '{"a": 1, "sha256": 3}'):
        path.write_text(text)
        assert failure() == (
            f"{path}: damaged (its content is not that of its sha256); mend it with `fsar repair {path}`"
        )


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_damage(tmp_path, compression):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("first", b"one two three" * 5)
        archive.writestr("second", b"four")
    assert zip_damage(path) is None
    whole = path.read_bytes()
    at = whole.index(b"second") + len("second") + 1
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
    if compression == zipfile.ZIP_STORED:
        assert zip_damage(path) == "second"
    else:
        with contextlib.suppress(zlib.error):
            assert zip_damage(path) == "second"


@pytest.mark.parametrize("found", [0, -1, True, "1", None, 1.0])
def test_a_format_that_is_none(found):
    with pytest.raises(FsarError, match=r"^x: damaged \(format "):
        check_format(found, 1, Path("x"))


def test_a_newer_format_is_refused_politely():
    check_format(2, 2, Path("x"))
    with pytest.raises(FsarError) as error:
        check_format(3, 2, Path("a/x"))
    assert str(error.value) == (
        "a/x: has format 3, and this fsar knows formats up to 2: use the fsar that wrote it (or a later one), or move the file "
        "away and run snakemake to make it anew"
    )
