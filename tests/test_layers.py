"""The layers of the package: the contracts of pyproject.toml, cycles between files, private names."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "fsar_core"
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


class Import(NamedTuple):
    """One imported name.

    Attributes:
        importer: the module with the statement.
        module: that is imported, or from which a name is imported.
        name: the imported name, or "" for a module.
        at_import: whether the statement runs when the importer is imported.
    """

    importer: str
    module: str
    name: str
    at_import: bool


def module_name(path: Path, root: Path) -> str:
    """Return the dotted name of a file; a package is its `__init__.py`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_for_annotations(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_below(
    node: ast.AST, importer: str, modules: Mapping[str, Path], at_import: bool = True
) -> Iterator[Import]:
    """Yield the imports of the package's own modules."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(importer, alias.name, "", at_import)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"{importer}: relative import, line {child.lineno}"
            for alias in child.names:
                submodule = f"{child.module}.{alias.name}"
                if submodule in modules:
                    yield Import(importer, submodule, "", at_import)
                else:
                    yield Import(importer, str(child.module), alias.name, at_import)
        else:
            is_later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            runs = at_import and not is_later and not is_for_annotations(child)
            yield from imports_below(child, importer, modules, runs)


def package_imports(root: Path) -> list[Import]:
    """Return every import between the modules of the package below `root`."""
    modules = {module_name(path, root): path for path in (root / PACKAGE).rglob("*.py")}
    found: list[Import] = []
    for name, path in modules.items():
        tree = ast.parse(path.read_text())
        found += [one for one in imports_below(tree, name, modules) if one.module in modules]
    return found


def cycle_between_files(imports: list[Import]) -> list[str]:
    """Return the modules of an import cycle at module level, or an empty list."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        if one.at_import and one.importer != one.module:
            graph.setdefault(one.importer, set()).add(one.module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def room(module: str) -> str:
    """Return the package directly below `fsar_core` that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def private_imports(imports: list[Import]) -> list[str]:
    """Return imports of another package's private modules and names."""
    return [
        f"{one.importer}: from {one.module} import {one.name}"
        for one in imports
        if room(one.importer) != room(one.module)
        and any(is_private(part) for part in (*one.module.split("."), one.name))
    ]


def run_contracts(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package below `root`, with the contracts of this project."""
    return subprocess.run(
        [sys.executable, "-c", LINT_IMPORTS, ROOT / "pyproject.toml", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write modules of a package, given as texts by path."""
    for path, text in files.items():
        file = root / PACKAGE / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_contracts_hold():
    result = run_contracts(ROOT)
    assert not result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("path", "line", "contract"),
    [
        ("storage/locks.py", "import fsar_core.cli", "lower layers"),
        ("metrics/otam.py", "import fsar_core.heads.dmgal", "lower layers"),
        ("heads/ipm.py", "def f():\n    import fsar_core.heads.dmgal", "heads"),
        ("metrics/otam.py", "import fsar_core.metrics.bimhm", "metrics"),
        ("new_package/__init__.py", "", "lower layers"),
    ],
)
def test_contract_is_broken_by(tmp_path, path, line, contract):
    shutil.copytree(
        ROOT / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("__pycache__")
    )
    file = tmp_path / PACKAGE / path
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as module:
        module.write(f"\n{line}\n")
    result = run_contracts(tmp_path)
    assert result.returncode
    report = " ".join(result.stdout.split())
    assert "BROKEN" in report and contract in report, report


def test_no_cycle_between_files():
    assert cycle_between_files(package_imports(ROOT)) == []


def test_no_private_import_across_packages():
    assert private_imports(package_imports(ROOT)) == []


def test_cycle_is_reported(tmp_path):
    files = {
        "a/x.py": "from fsar_core.b import y",
        "b/__init__.py": "",
        "b/y.py": "class Y:\n    from fsar_core.a.x import NAME",
    }
    assert "fsar_core.b.y" in cycle_between_files(package_imports(write(tmp_path, files)))


@pytest.mark.parametrize(
    "importer",
    [
        "def f():\n    from fsar_core.b import y",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fsar_core.b import y",
    ],
    ids=["in a function", "for annotations"],
)
def test_later_import_is_no_cycle(tmp_path, importer):
    files = {"a/x.py": importer, "b/__init__.py": "", "b/y.py": "import fsar_core.a.x"}
    assert cycle_between_files(package_imports(write(tmp_path, files))) == []


@pytest.mark.parametrize(
    "importer",
    [
        "from fsar_core.b._y import NAME",
        "from fsar_core.b import _y",
        "def f():\n    from fsar_core.b.z import _NAME",
    ],
)
def test_private_import_is_reported(tmp_path, importer):
    files = {"a/x.py": importer, "b/__init__.py": "", "b/_y.py": "", "b/z.py": ""}
    assert len(private_imports(package_imports(write(tmp_path, files)))) == 1
