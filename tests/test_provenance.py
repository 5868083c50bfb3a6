"""Code digests against edited copies of the package; files that are whole or absent."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import fsar_core
from fsar_core import provenance
from fsar_core.provenance import atomic_write, canonical_json, code_digest, digest, environment, file_sha256, write_json

PACKAGE = Path(fsar_core.__file__).parent
WATCHED = {
    "otam": "fsar_core.matching.otam",
    "bimhm": "fsar_core.matching.bimhm",
    "identity": "fsar_core.heads.identity",
    "train": "fsar_core.cli.train",
    "table": "fsar_core.cli.table",
    "draw": "fsar_core.cli.draw_episodes",
}


def digests(root: Path) -> dict[str, str]:
    """The code digests of WATCHED in the copy of the package below `root`, by a fresh process."""
    code = (
        "import json, sys; from fsar_core import provenance;"
        "print(provenance.__file__); print(json.dumps({k: provenance.code_digest(v) for k, v in WATCHED.items()}));"
        "print('torch' in sys.modules or 'numpy' in sys.modules)"
    ).replace("WATCHED", repr(WATCHED))
    variables = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=variables, capture_output=True, text=True, timeout=60
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
    node = next(n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub))
    node.op = ast.Add() if isinstance(node.op, ast.Sub) else ast.Sub()
    return ast.unparse(tree)


def reword_docstrings(text: str) -> str:
    """Other docstrings on the module, its classes and its functions."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            node.body = [ast.Expr(ast.Constant("Other words.")), *body]
    return ast.unparse(ast.fix_missing_locations(tree))


def without_layout(text: str) -> str:
    """No comments, no blank lines, the standard quotes and breaks."""
    return ast.unparse(ast.parse(text))


def comments(text: str) -> str:
    return "# A comment.\n" + text.replace("\n\n", "\n\n\n") + "\n# Another one.\n"


@pytest.mark.parametrize("edit", [reword_docstrings, without_layout, comments], ids=lambda edit: edit.__name__)
def test_words_and_layout_change_nothing(changed, edit):
    assert changed("matching/_distances.py", edit) == set()


@pytest.mark.parametrize(
    ("file", "edit", "names"),
    [
        ("matching/otam.py", flip_a_sign, {"otam"}),
        ("matching/bimhm.py", flip_a_sign, {"bimhm"}),
        ("matching/_distances.py", flip_a_sign, {"otam", "bimhm"}),
        ("matching/otam.py", lambda text: text.replace("lambda_: float = 0.5", "lambda_: float = 0.6"), {"otam"}),
        # A string that is no docstring counts.
        ("heads/identity.py", lambda text: text + "\nNAME = 'x'\n", {"identity"}),
        ("training/loop.py", flip_a_sign, {"train"}),  # imported inside a function
        ("cli/_run.py", lambda text: text + "\nX = 1\n", {"train"}),  # from fsar_core.cli import _run
        ("episodes/sampler.py", lambda text: text + "\nX = 1\n", {"train", "draw"}),
        ("reporting/tables.py", lambda text: text + "\nX = 1\n", {"table"}),
        # Wording of errors, the registry and the configuration never change a number.
        ("errors.py", lambda text: text + "\nX = 1\n", set()),
        ("registry.py", lambda text: text + "\nX = 1\n", set()),
        ("config.py", lambda text: text + "\nX = 1\n", set()),
        ("cli/list.py", lambda text: text + "\nX = 1\n", set()),
    ],
)
def test_code_changes_what_depends_on_it(changed, file, edit, names):
    assert changed(file, edit) == names


def test_code_digest_covers_every_named_module():
    one, other = code_digest("fsar_core.matching.otam"), code_digest("fsar_core.heads.identity")
    both = code_digest("fsar_core.matching.otam", "fsar_core.heads.identity")
    assert len({one, other, both}) == 3
    assert code_digest("fsar_core.heads.identity", "fsar_core.matching.otam") == both
    # otam already imports its distances.
    assert code_digest("fsar_core.matching.otam", "fsar_core.matching._distances") == one


def test_a_module_that_does_not_exist_is_told():
    with pytest.raises(ModuleNotFoundError, match=r"no module fsar_core\.matching\.otma"):
        code_digest("fsar_core.matching.otma")


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
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_environment_names_what_may_change_a_result(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = environment()
    assert {"python", "machine", "system", "fsar", "torch", "numpy", "zarr", "threads"} <= set(found)
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


def test_flushed_to_disk_before_it_is_renamed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(provenance.os, "fsync", lambda handle: calls.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(provenance.os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
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
    write_json(tmp_path / "x.json", {"b": [1, "ü"], "a": {"d": None, "c": 0.1}})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == (
        '{\n "a": {\n  "c": 0.1,\n  "d": null\n },\n "b": [\n  1,\n  "\\u00fc"\n ]\n}\n'
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"a": math.inf})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["a"] == {"c": 0.1, "d": None}
    assert os.listdir(tmp_path) == ["x.json"]
