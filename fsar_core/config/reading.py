"""Reading YAML files that come from anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fsar_core.errors import FsarError

# The most values of a YAML file, each alias counted as what it stands for.
UNFOLDED = 200_000
# The tag of the key `<<`.
MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Tags make no objects, aliases cannot unfold to a flood of values, and a mapping with two keys of
    the same name is refused.

    Raises:
        FsarError: with the line of what cannot be read.
    """
    try:
        loader = yaml.SafeLoader(Path(path).read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is None:
            return None
        if _unfolded(node, {}) > UNFOLDED:
            raise ValueError(f"its aliases (`*name`) unfold to more than {UNFOLDED:,} values")
        _check_keys(loader, node, set())
        return loader.construct_document(node)
    except FileNotFoundError:
        raise FsarError(f"{path}: no such file") from None
    except OSError as error:
        raise FsarError(f"{path}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise FsarError(f"{path}: not readable as YAML: nested too deeply") from None
    # ValueError: not UTF-8, `2020-13-45`, `!!int x`
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", error)
        raise FsarError(f"{path}{where}: not readable as YAML: {problem}") from None


def _unfolded(node: yaml.Node, counts: dict[int, int]) -> int:
    """Count the values that a node stands for, with all its aliases written out.

    Args:
        node: the node.
        counts: the counts of nodes by identity; -1 while a node is being counted.

    Raises:
        ValueError: for a node that contains itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counts:
        counts[id(node)] = -1
        parts = (
            node.value
            if isinstance(node, yaml.SequenceNode)
            else [part for pair in node.value for part in pair]
        )
        counts[id(node)] = 1 + sum(_unfolded(part, counts) for part in parts)
    elif counts[id(node)] < 0:
        raise ValueError(f"line {node.start_mark.line + 1} holds itself by an alias (`*name`)")
    return counts[id(node)]


def _check_keys(loader: yaml.SafeLoader, node: yaml.Node, checked: set[int]) -> None:
    """Refuse a mapping with two keys of one name, of which the parser would keep the last.

    Raises:
        ValueError: with the lines of both keys.
    """
    if isinstance(node, yaml.ScalarNode) or id(node) in checked:
        return
    checked.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(loader, item, checked)
        return
    lines: dict[Any, int] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            _check_key(loader, key, lines)
        _check_keys(loader, key, checked)
        _check_keys(loader, value, checked)


def _check_key(loader: yaml.SafeLoader, key: yaml.ScalarNode, lines: dict[Any, int]) -> None:
    """Refuse a key whose name is in `lines` already; otherwise note its line there."""
    # Construct the key, because `1` and `0x1` are the same one.
    name = key.value if key.tag == MERGE else loader.construct_object(key)
    line = key.start_mark.line + 1
    if name in lines:
        raise ValueError(
            f"line {line}: the key '{key.value}' is in line {lines[name]} already; remove one of them"
        )
    lines[name] = line
