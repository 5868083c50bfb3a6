"""Names, parameters and summaries are read from source text; only `build` imports."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from torch import nn

from fsar_core.components import registry
from fsar_core.components.mask_provider import MaskProvider
from fsar_core.components.parameters import COMPUTED, REQUIRED, Parameter
from fsar_core.components.registry import Entry, accepted, build, check, entry, names
from fsar_core.errors import FsarError

WIDGET = '''
"""A widget for tests.

More about it.
"""

from fsar_core.components.head import Head

SIZES = ("small", "large")


class Helper:
    def __init__(self, other):
        pass


class TinyWidget(Head):
    relates = True
    version = 3
    sizes: tuple = ("small", "large")
    computed = len(SIZES)
    both = either = 1

    def __init__(self, dim, /, frames, scale=0.5, mode="a", table=(1, 2), *, way, size=len(SIZES), shift=-1, on=True):
        self.made_of = (dim, frames, way)
'''


# What the base class of heads documents.
HEAD = {
    "supplied": ("dim", "frames", "tail", "classes"),
    "subcomponents": {},
    "inputs": {},
    "wraps_tail": False,
    "global_tokens": 0,
    "has_attention": False,
    "predicts_masks": False,
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty package with a folder for every kind; registry.PACKAGE points at it."""
    for folder in registry.KINDS.values():
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(registry, "PACKAGE", tmp_path)
    entry.cache_clear()
    yield tmp_path
    entry.cache_clear()


def test_the_contract():
    metric = build("matching", "otam", lambda_=0.1)
    assert isinstance(metric, nn.Module)
    assert type(metric).__name__ == "OTAM"
    assert metric.lambda_ == 0.1


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("backbones", {"resnet50", "demo_cnn"}),
        ("heads", {"identity", "dmgal", "dmgal_adapter", "st_adapter", "aim"}),
        ("matching", {"otam", "bimhm", "trx", "sca", "prototype"}),
        ("instance_masks", {"annotated", "clipseg", "seem"}),
    ],
)
def test_names_of_the_shipped_components(kind, some):
    assert some <= set(names(kind))


def test_names_are_sorted_modules_and_packages_without_private_ones(tmp_path, monkeypatch):
    files = [
        "trx.py",
        "otam.py",
        "_distances.py",
        "sca.txt",
        "seem/__init__.py",
        "seem/network.py",
        "_old/__init__.py",
    ]
    files += [
        "bimhm.py",
        "no_package/x.py",
        "prototype.py",
        "annotated.py",
        "zero.py",
        "clipseg.py",
        "aim.py",
    ]
    for name in files:
        path = tmp_path / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(registry, "PACKAGE", tmp_path)
    modules = ["aim", "annotated", "bimhm", "clipseg", "otam", "prototype", "seem", "trx", "zero"]
    assert names("matching") == modules


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: names("match"), "unknown kind of component 'match'; did you mean 'matching'?"),
        (lambda: build("head", "dmgal"), "unknown kind of component 'head'; did you mean 'heads'?"),
        (
            lambda: build("matching", "otma"),
            "unknown name 'otma' in matching; did you mean 'otam'?",
        ),
        (lambda: entry("matching", "_distances"), "unknown name '_distances' in matching; "),
        (
            lambda: entry("matching", "../heads/dmgal"),
            "unknown name '../heads/dmgal' in matching; ",
        ),
        (
            lambda: build("matching", "otam", lamda=0.1),
            "matching 'otam' has no parameter 'lamda'; did you mean 'lambda_'?",
        ),
        (lambda: build("heads", "dmgal"), "heads 'dmgal' needs the parameter 'dim'"),
        (
            lambda: check("matching", "trx", {"out_dim": 64}),
            "matching 'trx' needs the parameter 'dim'",
        ),
        (
            lambda: check("matching", "otam", {"lambda_": "1e-3"}),
            "matching 'otam': lambda_ is the text '1e-3', expected numbers above 0; YAML reads 1e-3 as text",
        ),
    ],
)
def test_mistakes_name_the_nearest_valid_one(call, line):
    with pytest.raises(FsarError) as error:
        call()
    assert str(error.value).startswith(line)


def test_supplied_parameters_count_as_given():
    assert check("matching", "trx", {"out_dim": 64}, supplied=("dim", "frames")).class_name == "TRX"


@pytest.mark.parametrize("kind", ["heads", "matching"])
def test_a_run_supplies_all_that_heads_and_metrics_require(kind):
    for name in names(kind):
        assert check(kind, name, {}, supplied=entry(kind, name).supplied).name == name


def test_text_parameters_stay_text():
    assert check("matching", "otam", {"shots": "prototype", "lambda_": 1}).name == "otam"


def test_accepted_keeps_what_a_component_takes():
    assert accepted("matching", "trx", dim=8, frames=4, colour="red") == {"dim": 8, "frames": 4}
    assert accepted("matching", "otam", dim=8, frames=4) == {}


def test_a_new_file_is_listed_described_and_checked(package):
    assert names("heads") == []
    (package / "heads" / "tiny_widget.py").write_text(WIDGET, encoding="utf-8")
    (package / "heads" / "_private.py").write_text("", encoding="utf-8")
    assert names("heads") == ["tiny_widget"]
    defaults = {
        "dim": REQUIRED,
        "frames": REQUIRED,
        "scale": 0.5,
        "mode": "a",
        "table": (1, 2),
        "way": REQUIRED,
        "size": COMPUTED,
        "shift": -1,
        "on": True,
    }
    assert entry("heads", "tiny_widget") == Entry(
        kind="heads",
        name="tiny_widget",
        module="fsar_core.heads.tiny_widget",
        class_name="TinyWidget",
        summary="A widget for tests.",
        parameters={name: Parameter(name, default, Any) for name, default in defaults.items()},
        attributes=HEAD | {"relates": True, "version": 3, "sizes": ("small", "large")},
    )


def test_a_new_folder_is_a_component_too(package):
    (package / "mask_providers" / "seer").mkdir()
    source = (
        '"""Sees."""\n'
        "from fsar_core.components.mask_provider import MaskProvider\n"
        "class Seer(MaskProvider):\n    pass\n"
    )
    (package / "mask_providers" / "seer" / "__init__.py").write_text(source, encoding="utf-8")
    (package / "mask_providers" / "notes").mkdir()
    assert names("instance_masks") == ["seer"]
    found = entry("instance_masks", "seer")
    assert (found.module, found.summary, found.parameters) == (
        "fsar_core.mask_providers.seer",
        "Sees.",
        {},
    )


def test_a_file_without_its_class_is_told(package):
    (package / "heads" / "tiny_widget.py").write_text("class Other:\n    pass\n", encoding="utf-8")
    with pytest.raises(
        FsarError, match=r"tiny_widget\.py in heads defines no class .* spelled 'tinywidget'"
    ):
        entry("heads", "tiny_widget")


def test_a_new_file_is_built(tmp_path):
    """In a copy of the package, as a person who adds one file would do it; nothing else is touched."""
    shutil.copytree(
        registry.PACKAGE, tmp_path / "fsar_core", ignore=shutil.ignore_patterns("__pycache__")
    )
    new = '''
        """Brand new."""

        from fsar_core.components.head import Head


        class BrandNew(Head):
            def __init__(self, dim, gain=2.0):
                super().__init__()
                self.out = dim * gain

            def encode(self, clips):
                return clips
        '''
    (tmp_path / "fsar_core" / "heads" / "brand_new.py").write_text(
        textwrap.dedent(new).lstrip(), encoding="utf-8"
    )
    script = """
        import sys
        from fsar_core.components.registry import PACKAGE, build, entry, names
        print(PACKAGE, "brand_new" in names("heads"), entry("heads", "brand_new").summary)
        print("torch" in sys.modules, build("heads", "brand_new", dim=4).out)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"{tmp_path}/fsar_core True Brand new.\nFalse 8.0\n", done.stderr


def test_listing_and_checking_never_import_torch():
    script = """
        import sys
        from fsar_core.components.registry import KINDS, accepted, check, entry, names
        count = 0
        for kind in KINDS:
            for name in names(kind):
                found = entry(kind, name)
                check(kind, name, {}, supplied=tuple(found.parameters))
                accepted(kind, name, dim=8)
                count += 1
        print(count >= 9, "torch" in sys.modules, "numpy" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "True False False\n", done.stderr


RANGED = '''
"""A ranged widget."""

from typing import Annotated

from annotated_types import Ge, Le

from fsar_core.components.head import Head
from fsar_core.components.parameters import Fraction


class Ranged(Head):
    def __init__(self, size: Annotated[int, Ge(32), Le(64)] = 48, share: Fraction | None = None):
        pass
'''


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"size": 32, "share": 1}, None),
        ({"size": 64, "share": 0.5}, None),
        ({"share": None}, None),
        ({"size": 31}, "size=31 is not valid; valid: whole numbers from 32 to 64"),
        ({"size": 65}, "size=65 is not valid; valid: whole numbers from 32 to 64"),
        ({"size": 48.0}, "size=48.0 is not valid; valid: whole numbers from 32 to 64"),
        ({"size": None}, "size=None is not valid; valid: whole numbers from 32 to 64"),
        ({"size": True}, "size=True is not valid; valid: whole numbers from 32 to 64"),
        ({"share": 1.1}, "share=1.1 is not valid; valid: numbers from 0 to 1, or null"),
        ({"share": "half"}, "share='half' is not valid; valid: numbers from 0 to 1, or null"),
        ({"share": float("nan")}, "share=nan is not valid; valid: numbers from 0 to 1, or null"),
    ],
)
def test_numbers_with_bounds(package, params, expected):
    (package / "heads" / "ranged.py").write_text(RANGED)
    if expected is None:
        assert check("heads", "ranged", params).name == "ranged"
        return
    with pytest.raises(FsarError) as error:
        check("heads", "ranged", params)
    assert str(error.value) == f"heads 'ranged': {expected}"


def test_the_parameters_that_jobs_give_are_those_of_providers():
    """Each is taken by one at least; a preset may set the others."""
    taken = {
        param
        for name in names("instance_masks")
        for param in entry("instance_masks", name).parameters
    }
    supplied = set(MaskProvider.supplied)
    assert supplied <= taken
    assert {"size", "threshold", "template", "values"} <= taken - supplied


def test_a_class_without_the_base_class_of_its_kind_is_refused(package):
    (package / "heads" / "plain.py").write_text("class Plain:\n    pass\n", encoding="utf-8")
    with pytest.raises(FsarError) as error:
        entry("heads", "plain")
    assert str(error.value) == (
        "plain.py in heads: the class Plain does not derive from Head; "
        "import it from fsar_core.components"
    )


def test_a_component_belongs_to_the_kind_of_its_base_class():
    for kind, base in registry.BASES.items():
        for name in names(kind):
            component = entry(kind, name)
            module = importlib.import_module(component.module)
            lineage = {cls.__name__ for cls in getattr(module, component.class_name).__mro__}
            assert base in lineage


def test_attributes_of_the_source_text_are_those_of_the_class():
    """Planning decides by the source text; the running code by the class."""
    for kind in registry.KINDS:
        for name in names(kind):
            component = entry(kind, name)
            cls = getattr(importlib.import_module(component.module), component.class_name)
            for attribute, value in component.attributes.items():
                assert getattr(cls, attribute) == value, (name, attribute)


@pytest.mark.parametrize(
    ("kind", "name", "params", "modules"),
    [
        ("heads", "dmgal", {}, ["heads.dmgal"]),
        ("matching", "otam", {"lambda_": 0.1}, ["metrics.otam"]),
        ("matching", "global_local", {}, ["metrics.global_local", "metrics.bimhm"]),
        ("matching", "global_local", {"local": "trx"}, ["metrics.global_local", "metrics.trx"]),
        ("matching", "global_local", {"local": None}, ["metrics.global_local"]),
        (
            "matching",
            "global_local",
            {"local": "global_local", "local_params": {"local": "otam"}},
            ["metrics.global_local", "metrics.global_local", "metrics.otam"],
        ),
    ],
)
def test_the_modules_behind_a_component(kind, name, params, modules):
    expected = [f"fsar_core.{module}" for module in modules]
    assert registry.modules(kind, name, params) == expected


def test_components_that_have_an_attribute():
    assert registry.having("heads", "wraps_tail") == ["aim", "dmgal_adapter", "st_adapter"]
    assert registry.having("matching", "global_tokens") == ["global_local"]
    assert registry.having("matching", "sums_frames") == ["bimhm", "otam"]
    assert registry.having("backbones", "trainable") == ["demo_cnn", "demo_vit"]
