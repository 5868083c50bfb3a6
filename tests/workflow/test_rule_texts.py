"""What every rule owes its reader: a log, an environment that exists, one command that a person could paste."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import re
import shutil
import subprocess
import tomllib
import venv
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from fsar_core.__main__ import VERBS

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted((REPOSITORY / "workflow" / "rules").glob("*.smk"))
ENVS = sorted((REPOSITORY / "envs").glob("*.yaml"))
CONSTRAINTS = dict(
    line.split("==")
    for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").split()
    if "==" in line
)
ENVIRONMENT = {
    "type": "object",
    "required": ["channels", "dependencies"],
    "additionalProperties": False,
    "properties": {
        "channels": {"const": ["conda-forge", "nodefaults"]},
        "dependencies": {
            "type": "array",
            "uniqueItems": True,
            "contains": {"const": "pip"},
            "items": {
                "oneOf": [
                    {"type": "string", "pattern": r"^(pip|[a-z0-9-]+ =\d+(\.\d+)+)$"},
                    {
                        "type": "object",
                        "required": ["pip"],
                        "additionalProperties": False,
                        "properties": {
                            "pip": {
                                "type": "array",
                                "uniqueItems": True,
                                "items": {
                                    "type": "string",
                                    "pattern": r"^[A-Za-z0-9_-]+ ==\d+(\.\d+)+$",
                                },
                            }
                        },
                    },
                ]
            },
        },
    },
}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@dataclass
class Rule:
    file: Path
    name: str
    directives: dict[str, str] = field(
        default_factory=dict
    )  # the lines below each, comments left out


def read_rules() -> dict[str, Rule]:
    """Rules by name; what `use rule A as B with:` leaves out is A's."""
    rules: dict[str, Rule] = {}
    for path in FILES:
        rule = directive = None
        for line in path.read_text(encoding="utf-8").splitlines():
            if found := re.match(r"(?:rule (\w+)|use rule (\w+) as (\w+) with):$", line):
                plain, base, name = found.groups()
                rule = Rule(path, plain or name, dict(rules[base].directives) if base else {})
                rules[rule.name], directive = rule, None
            elif line and not line.startswith((" ", "#")):
                rule = None
            elif rule and (found := re.match(r" {4}(\w+):(.*)$", line)):
                directive = found[1]
                rule.directives[directive] = found[2]
            elif rule and directive and not line.strip().startswith("#"):
                rule.directives[directive] += f"\n{line}"
    return rules


RULES = read_rules()
WORKING = {name: rule for name, rule in RULES.items() if "shell" in rule.directives}
each_rule = pytest.mark.parametrize("rule", WORKING.values(), ids=lambda rule: rule.name)


def command(rule: Rule) -> str:
    return ast.literal_eval(f"({rule.directives['shell'].strip()})")


def test_the_rules_are_read():
    """Or every test below would pass over nothing."""
    stages = {
        "demo_videos",
        "clip_index",
        "plan_frames",
        "fill_frames",
        "seal_frames",
        "train_backbone",
        "plan_features",
    }
    stages |= {
        "fill_features",
        "seal_features",
        "train_classifier",
        "plan_saliency",
        "fill_saliency",
        "seal_saliency",
        "draw_episodes",
        "train_head",
        "evaluate_head",
        "complexity",
        "table",
        "primary_table",
    }
    assert stages <= set(WORKING)
    assert sum(
        len(re.findall(r"^(?:rule|use rule) ", path.read_text(), re.MULTILINE)) for path in FILES
    ) == len(RULES)


def test_rules_without_a_command_only_name_targets_and_stay_local():
    text = (REPOSITORY / "Snakefile").read_text(encoding="utf-8")
    local = set(
        re.findall(r"^    (\w+),$", text.split("localrules:")[1].split("\n\n")[0], re.MULTILINE)
    )
    targets = {name for name in RULES if name not in WORKING}
    assert local == targets | {"all"}
    assert all(set(RULES[name].directives) == {"input"} for name in targets)


@each_rule
def test_the_parts_of_a_rule(rule):
    assert {"output", "log", "conda", "shell"} <= set(rule.directives)
    assert not {"run", "script", "notebook", "wrapper"} & set(rule.directives)
    assert re.search(r" > \{log(\.text)?:q\} 2>&1$", command(rule))


@each_rule
def test_what_reaches_the_package_is_named_and_bounded(rule):
    if rule.name != "primary_table":
        assert {"params", "resources"} <= set(rule.directives)
        assert "mem_mb=memory(" in rule.directives["resources"]
        assert "runtime=" in rule.directives["resources"]


def test_memory_grows_with_the_attempt():
    text = (REPOSITORY / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    (source,) = re.findall(r"^def memory\(.*?\n\n\n", text, re.MULTILINE | re.DOTALL)
    known = {"PRESET": SimpleNamespace(resources=SimpleNamespace(mem_mb=2000))}
    exec(source, known)
    assert [known["memory"]()(None, attempt) for attempt in (1, 2, 3)] == [2000, 4000, 6000]
    assert [known["memory"](500)(None, attempt) for attempt in (1, 2)] == [2500, 5000]


@each_rule
def test_a_command_names_a_verb_and_its_options(rule):
    """A misspelt option would be found by the first job only, hours later on a cluster."""
    words = command(rule)
    if "python -m fsar_core" not in words:
        assert rule.name == "primary_table"
        return
    words = words.removeprefix("python -m fsar_core lease -n {resources.gpu} -- ")
    verb, rest = re.fullmatch(
        r"python -m fsar_core ([a-z-]+) (.*) > \{log(?:\.text)?:q\} 2>&1", words, re.DOTALL
    ).groups()
    parser = argparse.ArgumentParser()
    importlib.import_module(f"fsar_core.cli.{VERBS[verb]}").arguments(parser)
    known = {word for action in parser._actions for word in action.option_strings}
    required = {
        action.option_strings[0]
        for action in parser._actions
        if action.required and action.option_strings
    }
    given = re.findall(r"(?<!\S)--[a-z0-9-]+", rest)
    assert set(given) <= known
    assert required <= set(given)
    assert len(given) == len(set(given))


@each_rule
def test_no_number_stands_in_a_command_or_its_parameters(rule):
    """How much is computed is config.yaml's; a resource of a job may be a number, a setting of an experiment may not."""
    assert re.findall(r"(?<![\w.])\d[\d.e]*(?![\w])", command(rule).removesuffix(" 2>&1")) == []
    numbers = re.findall(r"(?<![\w.\"'])(?<!\[)\d[\d.e]*", rule.directives.get("params", ""))
    assert numbers == []


@each_rule
def test_words_that_a_user_chooses_are_quoted(rule):
    """Folders and names may hold blanks."""
    unquoted = set(re.findall(r"\{((?:input|output|log)[^}:]*|params\.\w+)\}", command(rule)))
    chosen = {
        "params.seed",
        "params.clips_per_job",
        "params.max_failures",
        "params.code",
        "params.mixed_precision",
    }
    chosen |= {"params.examples"}
    assert unquoted <= chosen


@each_rule
def test_the_environment_of_a_rule_exists(rule):
    path = (rule.file.parent / ast.literal_eval(rule.directives["conda"].strip())).resolve()
    assert path in ENVS


def test_gpu_rules_have_the_gpu_environment():
    for rule in WORKING.values():
        # Kubernetes wants to know whose GPU it is wherever one is named, and takes it for a GPU job wherever that is said.
        assert ("gpu=" in rule.directives.get("resources", "")) == (
            "gpu_manufacturer=" in rule.directives.get("resources", "")
        ), rule.name
        assert ("gpu=" in rule.directives.get("resources", "")) == (
            "torch-gpu" in rule.directives["conda"]
        ), rule.name


def test_every_environment_is_used():
    used = {
        Path(ast.literal_eval(rule.directives["conda"].strip())).name for rule in WORKING.values()
    }
    assert used == {path.name for path in ENVS}


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_an_environment_is_complete_and_pinned(path):
    env = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(env, ENVIRONMENT)
    conda = [line for line in env["dependencies"] if isinstance(line, str)]
    (pip,) = [line["pip"] for line in env["dependencies"] if isinstance(line, dict)]
    versions = {}
    for line in conda:
        if line != "pip":
            name, version = line.split(" =")
            versions[name] = version
    for line in pip:
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        assert pin.operator == "==" and requirement.name not in versions
        versions[requirement.name] = pin.version
    for name, version in versions.items():
        if name != "python":
            assert (
                version
                == CONSTRAINTS[
                    canonicalize_name(
                        {"pytorch-cpu": "torch", "pytorch-gpu": "torch"}.get(name, name)
                    )
                ]
            )
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(versions["python"])
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        names = {"torch": ("pytorch-cpu", "pytorch-gpu")}.get(requirement.name, (requirement.name,))
        for version in (versions[name] for name in names if name in versions):
            assert requirement.specifier.contains(Version(version)), f"{text}: {version}"
        # Snakemake starts the jobs and is not needed in them; decoding jobs import nothing of torch.
        torch_only = {
            "torch",
            "torchvision",
            "captum",
            "einops",
            "ftfy",
            "jaxtyping",
            "open_clip_torch",
            "huggingface_hub",
            "safetensors",
        }
        if requirement.name != "snakemake" and not (
            path.stem == "decode" and requirement.name in torch_only
        ):
            assert any(name in versions for name in names), f"{requirement.name} is missing"


def test_both_torch_environments_hold_the_same_torch():
    def pins(name):
        lines = yaml.safe_load((REPOSITORY / "envs" / f"{name}.yaml").read_text(encoding="utf-8"))[
            "dependencies"
        ]
        return [re.sub("-[cg]pu", "", line) for line in lines if isinstance(line, str)]

    assert pins("torch-cpu") == pins("torch-gpu")


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_an_environment_gets_the_package(path):
    """Snakemake runs this script in a new environment; it is one and the same for all."""
    script = path.with_suffix(".post-deploy.sh")
    assert script.read_text(encoding="utf-8") == (
        REPOSITORY / "envs" / "decode.post-deploy.sh"
    ).read_text(encoding="utf-8")
    assert "setuptools ==" in path.read_text(encoding="utf-8")
    common = (REPOSITORY / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    assert "os.environ.update(FSAR_SOURCE=str(workflow.basedir))" in common


@pytest.mark.slow
def test_the_script_installs_it_as_it_lies_there(tmp_path):
    """In a bare environment that has, as conda's have, pip and setuptools; and is seen from any folder."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    (there,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    here = Path(jsonschema.__file__).parents[1]
    for name in ("setuptools", f"setuptools-{CONSTRAINTS['setuptools']}.dist-info"):
        shutil.copytree(here / name, there / name, dirs_exist_ok=True)
    source = tmp_path / "a copy"
    shutil.copytree(
        REPOSITORY / "fsar_core", source / "fsar_core", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    path = os.pathsep.join((str(python.parent), os.environ["PATH"]))
    environment = os.environ | {"FSAR_SOURCE": str(source), "PATH": path}
    environment.pop("PYTHONPATH", None)
    script = ["sh", str(REPOSITORY / "envs" / "decode.post-deploy.sh")]
    done = subprocess.run(script, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    where = [str(python), "-c", "import fsar_core; print(fsar_core.__file__)"]
    found = subprocess.run(where, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == str(source / "fsar_core" / "__init__.py"), found.stderr
    environment.pop("FSAR_SOURCE")
    refused = subprocess.run(script, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode != 0 and "FSAR_SOURCE" in refused.stderr
