"""Published split lists, as they are, to entries with the columns split, class, path, group.

Three lists, one a split, of two kinds:

- `class_video`: `abseiling/-3UyEfl3p5w_000001_000011`, with or without an extension.
- `numbered`: `train12//train_256/abseiling/x.mp4` or `train12/51958`: split, number of the class, path. Numbers start at 0 in
  every split. The names of the classes come from label files, from lists of names, from the folders, or stay `train12`.

Blank lines, blanks around a line, a byte order mark and any line ending are passed over; all else in a name is data.

Source: class_video as the lists of CMN, TRX, STRM and DMGAL; numbered as those of HyRSM, MoLo, CLIP-FSAR and D2ST, and TRX's of
SSv2-Full; label files as Something-Something V2 is released with (`id`, `template` with [placeholders]).
Differs: those readers believe every line. Here a number with two names, a name with two numbers, a line of another split and a
path that leaves the data folder are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from fsar_core.config import SPLITS, Card, relative
from fsar_core.data import splits
from fsar_core.data.files import stem
from fsar_core.errors import FsarError, did_you_mean

FORMATS = ("split_tsv", "class_video", "numbered")
NUMBERS_ONLY = "numbers only"
EXPECTED = "expected class/video, train12//path/of/video.mp4 or train12/video in every line, or a split.tsv"
_NUMBERED = re.compile(r"([A-Za-z]+)([0-9]{1,9})(//?)(.+)")
# Lists of `class/video.avi 1`, as UCF101 is released with, mean something else by train and test.
_CLASS_VIDEO = re.compile(r"(?!\./)([^/]+)/(?!.*\.(?:avi|mp4|webm|mkv|mov)\s+\d+$)[^/]+")


def by_split(folder: Path) -> dict[str, Path]:
    """The files of a folder by the split that their names begin with. FsarError where none or two begin with one."""
    found: dict[str, Path] = {}
    paths = sorted(path for path in Path(folder).iterdir() if path.is_file())
    for split in SPLITS:
        begin = [path for path in paths if path.name.lower().startswith(split)]
        if len(begin) != 1:
            names = " and ".join(path.name for path in begin[:2]) or "no file"
            raise FsarError(
                f"{folder}: {names} begin{'' if begin else 's'} with '{split}', expected one list of each split; "
                "name them by --train, --val and --test"
            )
        found[split] = begin[0]
    return found


def detect(lists: Mapping[str, Path]) -> str:
    """The one format that all lines of all lists are in. FsarError names the first line that is in none or in another."""
    first = None
    for path in lists.values():
        for number, line in _lines(path):
            if tuple(line.split("\t")) == splits.COLUMNS:
                return "split_tsv"
            place, kind = f"{path} line {number}", _kind(line)
            if kind is None:
                raise FsarError(f"{place}: unknown format: '{line[:80]}'; {EXPECTED}")
            first = first or (kind, place, line)
            if kind != first[0]:
                raise FsarError(
                    f"{place}: '{line[:80]}' reads as {kind}, but '{first[2][:80]}' ({first[1]}) as {first[0]}; "
                    "mend the line, or say which format it is"
                )
    return first[0]


def read(
    format: str,
    lists: Mapping[str, Path],
    labels: Sequence[Path] = (),
    names: Mapping[str, Path] | None = None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Unchecked entries in the order of the lists, and by split where the names of its classes come from.

    Args:
        lists: by split; of a split_tsv only the first, which has all splits.
        labels: JSON files, each a list of objects with `id` and `template`; they name numbered classes.
        names: by split, a file with a class's name in every line, the first that of number 0.
    Returns:
        paths as listed (without `.` and doubled slashes) and no groups, except out of a split_tsv, which is taken as it is.
    Raises:
        FsarError: naming file and line of the first mistake.
    """
    if format != "numbered" and (labels or names):
        raise FsarError(
            f"labels and names are for numbered classes, but these lists are {format}; leave them out"
        )
    if format == "split_tsv":
        if len(lists) > 1:
            raise FsarError(
                f"{', '.join(map(str, lists.values()))}: a split.tsv has all splits; expected one file"
            )
        return splits.read(next(iter(lists.values()))), dict.fromkeys(SPLITS, "the list")
    if set(lists) != set(SPLITS):
        missing = next(split for split in SPLITS if split not in lists)
        raise FsarError(
            f"{', '.join(map(str, lists.values()))}: no list of {missing}; expected one each of {', '.join(SPLITS)}"
        )
    if labels and names:
        raise FsarError("label files and lists of names both name the classes; give one of them")
    templates = _templates(labels)
    tables, sources = [], {}
    for split, path in lists.items():
        if format == "class_video":
            classes, paths = _read_class_video(path)
            sources[split] = "the list"
        else:
            numbers, paths = _read_numbered(path, split)
            classes, sources[split] = _named(
                path, split, numbers, paths, templates, (names or {}).get(split)
            )
        tables.append(
            pd.DataFrame({"split": split, "class": classes, "path": paths, "group": ""}, dtype=str)
        )
    return pd.concat(tables, ignore_index=True), sources


def arranged(entries: pd.DataFrame, card: Card) -> tuple[pd.DataFrame, int]:
    """Entries with paths as `files.path` of the card has them and with the sources that its `group` finds.

    Returns:
        also the number of clips whose name does not fit `group`: each is a source of its own.
    """
    if card.files.path is None and card.group is None:
        return entries, 0
    rules = (
        {name: splits.group_rule(card.group, name) for name in entries["class"].unique()}
        if card.group
        else {}
    )
    paths, groups, strangers = [], [], 0
    for name, path, group in zip(entries["class"], entries.path, entries.group):
        *folders, file = path.split("/")
        video = stem(file, card.files)
        if rules and not group:
            match = rules[name].fullmatch(video)
            strangers += match is None
            group = match["group"] if match else video
        if card.files.path is not None:
            # The folder as listed may be spelled unlike the class.
            path = card.files.path.format_map(
                {"class": folders[-1] if folders else name, "video": video}
            )
        paths.append(path)
        groups.append(group)
    return entries.assign(path=paths, group=groups), strangers


def report(
    entries: pd.DataFrame, card: Card, sources: Mapping[str, str], strangers: int
) -> list[str]:
    """Lines for the user: where class names come from, and what is in each split beside what the card expects.

    Args:
        sources: as `read` returns it.
        strangers: as `arranged` returns it.
    """
    lines = [
        "class names: " + ", ".join(f"{source} ({split})" for split, source in sources.items())
    ]
    if NUMBERS_ONLY in sources.values():
        lines.append(
            "classes without names are called after their numbers; --labels or lists of names would name them"
        )
    for split in SPLITS:
        part = entries[entries.split == split]
        sizes = part["class"].value_counts()
        videos = part.group[part.group != ""].nunique()
        text = f"{split}: {len(sizes)} classes, {len(part)} clips"
        if len(part):
            text += f", {sizes.min()} to {sizes.max()} a class (median {sizes.median():g})"
        text += f", {videos} source videos" if videos else ", source videos unknown"
        if split in card.expected:
            classes, clips = card.expected[split]
            text += f"; expected {classes} classes" + ("" if clips is None else f", {clips} clips")
        lines.append(text)
    if strangers:
        lines.append(
            f"{strangers} names tell no source video; each of these clips counts as a source of its own"
        )
    return lines


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines that are not blank, without what editors leave around them. FsarError where there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FsarError(f"{path}: no such list") from None
    except UnicodeDecodeError as error:
        raise FsarError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise FsarError(f"{path}: no readable list ({error.strerror})") from None
    stripped = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    lines = [(number, line) for number, line in stripped if line]
    if not lines:
        raise FsarError(f"{path}: an empty list; expected at least one line")
    return lines


def _kind(line: str) -> str | None:
    numbered = _NUMBERED.fullmatch(line)
    if numbered and (numbered[3] == "//" or numbered[1].lower() in SPLITS):
        return "numbered"
    return "class_video" if _CLASS_VIDEO.fullmatch(line) else None


def _inside(path: str, place: str) -> str:
    try:
        return "/".join(part for part in relative(path).split("/") if part not in ("", "."))
    except ValueError as error:
        raise FsarError(f"{place}: {error}") from None


def _read_class_video(path: Path) -> tuple[list[str], list[str]]:
    classes, paths = [], []
    for number, line in _lines(path):
        match = _CLASS_VIDEO.fullmatch(line)
        if match is None:
            raise FsarError(f"{path} line {number}: '{line[:80]}'; expected class/video")
        classes.append(match[1])
        paths.append(_inside(line, f"{path} line {number}"))
    return classes, paths


def _read_numbered(path: Path, split: str) -> tuple[list[int], list[str]]:
    numbers, paths = [], []
    for number, line in _lines(path):
        match, place = _NUMBERED.fullmatch(line), f"{path} line {number}"
        if match is None:
            raise FsarError(
                f"{place}: '{line[:80]}'; expected {split}12//path/of/video.mp4 or {split}12/video"
            )
        found = match[1].lower()
        if found not in SPLITS:
            raise FsarError(
                f"{place}: unknown split '{match[1]}' in '{line[:80]}'{did_you_mean(found, SPLITS)}"
            )
        if found != split:
            raise FsarError(
                f"{place}: '{line[:80]}' is of {found}, in the list of {split}; give each split its own list"
            )
        numbers.append(int(match[2]))
        paths.append(_inside(match[4], place))
    return numbers, paths


def _named(
    where: Path,
    split: str,
    numbers: list[int],
    paths: list[str],
    templates: dict[str, str],
    names: Path | None,
) -> tuple[list[str], str]:
    """The class of every clip, and where the names come from. FsarError unless numbers and names are one to one."""
    folders = [path.split("/")[-2] if "/" in path else "" for path in paths]
    if templates:
        videos = [path.split("/")[-1].split(".")[0] for path in paths]
        unknown = next((video for video in videos if video not in templates), None)
        if unknown is not None:
            raise FsarError(
                f"{where}: no label file has the video '{unknown}'; give all of them, training and validation"
            )
        classes, source = [templates[video] for video in videos], "label files"
    elif names is not None:
        known = _lines(names)
        # A blank line would shift all that follow it.
        if len(known) != max(numbers) + 1 or known[-1][0] != len(known):
            raise FsarError(
                f"{names}: {len(known)} names in {known[-1][0]} lines, but {where} has numbers to {split}{max(numbers)}; "
                f"expected {max(numbers) + 1} lines with a name each"
            )
        classes, source = [known[number][1] for number in numbers], names.name
    elif all(folders) and (len(set(folders)) > 1 or len(set(numbers)) == 1):
        classes, source = folders, "folders"
    else:
        return [f"{split}{number}" for number in numbers], NUMBERS_ONLY
    name_of, number_of = {}, {}
    for number, name, path in zip(numbers, classes, paths):
        if name_of.setdefault(number, name) != name:
            raise FsarError(
                f"{where}: {split}{number} is '{name_of[number]}' and also '{name}' ('{path}') by its {source}; "
                "expected one class a number"
            )
        if number_of.setdefault(name, number) != number:
            raise FsarError(
                f"{where}: '{name}' is {split}{number_of[name]} and also {split}{number} ('{path}') by its {source}; "
                "expected one number a class"
            )
    return classes, source


def _templates(labels: Sequence[Path]) -> dict[str, str]:
    """Video id -> class, out of Something-Something's label files."""
    found: dict[str, str] = {}
    for path in labels:
        expected = "expected a list of objects with 'id' and 'template', as in something-something-v2-train.json"
        try:
            records = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise FsarError(
                f"{path}: no readable label file ({error.strerror}); {expected}"
            ) from None
        except ValueError as error:
            raise FsarError(f"{path}: no JSON ({error}); {expected}") from None
        except RecursionError:
            raise FsarError(f"{path}: JSON that is nested too deeply; {expected}") from None
        if not isinstance(records, list) or not records:
            kind = "an empty list" if records == [] else "no list"
            raise FsarError(
                f"{path}: {kind}; {expected} (the file from templates to numbers is not needed)"
            )
        for number, record in enumerate(records, start=1):
            if (
                not isinstance(record, dict)
                or "id" not in record
                or not isinstance(record.get("template"), str)
            ):
                raise FsarError(f"{path}: record {number} is {str(record)[:80]}; {expected}")
            video, name = str(record["id"]), record["template"].replace("[", "").replace("]", "")
            if found.setdefault(video, name) != name:
                raise FsarError(
                    f"{path}: video '{video}' is '{found[video]}' and also '{name}'; expected one label a video"
                )
    return found
