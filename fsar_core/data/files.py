"""From a listed clip to the file that holds it: other extensions, other spellings of a folder, frames instead of a video.

Published lists and downloaded folders rarely agree to the letter (a list says .mp4 where the release has .webm, `air_drumming`
where the folder is `air drumming`). Names are data here: nothing is globbed or made into a pattern, and every folder is read
once, so that a clip costs a few look-ups. A symbolic link that leads out of the data set's folder is not followed, unless the
card says so (`files: {links: anywhere}`): a data set of others' may not have files of yours decoded into it.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fsar_core.config import Files, relative
from fsar_core.errors import FsarError

PICTURES = (".jpg", ".jpeg", ".png")
ID_LENGTH = 11  # characters of a YouTube id
_ALIKE = str.maketrans(" -", "__")


class Missing(Exception):
    """A listed clip that no file stands for; the text says why, in a few words."""


@dataclass
class _Listing:
    """A folder, read once: the names in it, and the names behind each looser key."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    loose_files: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    loose_folders: dict[str, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )  # on the way to a clip
    loose_frames: dict[str, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )  # that are a clip
    broken: dict[str, str] = field(default_factory=dict)  # entries that cannot be examined, and why


class FileFinder:
    """Finds listed clips below the folder of a data set. Threads may share one.

    Args:
        files: of the card; which roots and extensions are tried, and whether a YouTube id is enough.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder, self.files = Path(folder), files
        self._listings: dict[str, _Listing | None] = {}
        self._outside: set[str] = set()  # paths below the folder that are links to elsewhere

    def find(self, path: str) -> str:
        """The path below `folder` of the video, or of the folder of extracted frames, that a listed path means.

        In each root: the path as listed, then with each extension, then a folder of that name without extension. Each part of
        the path counts by its exact name first, then without regard to case and to what parts its words (blank, `_`, `-`).

        Raises:
            Missing: nothing is there, or more than one thing fits equally well.
            FsarError: the path would leave the folder.
        """
        try:
            *parents, name = PurePosixPath(relative(path)).parts
        except ValueError as error:
            raise FsarError(str(error)) from None
        reason = "no such file"
        for root in self.files.roots:
            place, absent = self._descend("" if root == "." else root, parents)
            if absent:
                reason = f"no folder '{absent}'" if len(self.files.roots) == 1 else reason
                continue
            found = self._video(place, name) or self._frames(place, name)
            if found:
                self._check_inside(_join(place, found))
                return _join(place, found)
            reason = self._broken_entry(place, name) or reason
        raise Missing(reason)

    def find_all(self, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The file of each listed path that has one, and for each of the others why it has none."""
        files, reasons = {}, {}
        for path in paths:
            try:
                files[path] = self.find(path)
            except Missing as missing:
                reasons[path] = str(missing)
        return files, reasons

    def _descend(self, place: str, parents: list[str]) -> tuple[str, str]:
        """The folder that `parents` mean below `place`, and the first part that is not there, or an empty text."""
        if self._list(place) is None:
            return place, place or "."
        for part in parents:
            listing = self._list(place)
            found = (
                part
                if part in listing.folders
                else _only(listing.loose_folders.get(_fold(part), []))
            )
            if not found:
                return place, part
            place = _join(place, found)
        return place, ""

    def _video(self, place: str, name: str) -> str | None:
        listing, short = self._list(place), stem(name, self.files)
        for exact in (name, *(short + extension for extension in self.files.extensions)):
            if exact in listing.files:
                return exact
        close = listing.loose_files.get(self._key(short), [])
        # One video in several containers is no ambiguity: the order of the extensions decides.
        _only(sorted({stem(other, self.files) for other in close}))
        return min(close, key=self._preference, default=None)

    def _frames(self, place: str, name: str) -> str | None:
        listing, short = self._list(place), stem(name, self.files)
        exact = next((folder for folder in (name, short) if folder in listing.folders), None)
        found = exact or _only(listing.loose_frames.get(self._key(short), []))
        if found:
            self._check_inside(_join(place, found))
            self._check_pictures(place, found)
        return found

    def _broken_entry(self, place: str, name: str) -> str | None:
        """Why the entry that a listed name means cannot be examined, or None where there is no such entry."""
        short = stem(name, self.files)
        for other, reason in self._list(place).broken.items():
            if other == name or stem(other, self.files) == short:
                return f"'{other}': {reason}"
        return None

    def _check_pictures(self, place: str, name: str) -> None:
        """A folder of frames holds some, and none of them is a link to elsewhere."""
        # Not kept: a data set may have a folder of pictures for each of its 220,000 clips.
        try:
            with os.scandir(self.folder / place / name) as entries:
                pictures = [entry for entry in entries if entry.name.lower().endswith(PICTURES)]
        except OSError as error:
            raise Missing(f"folder '{name}': {error.strerror}") from None
        if not pictures:
            raise Missing(f"no {', '.join(PICTURES)} in the folder '{name}'")
        for picture in pictures:
            if self._leads_out(picture):
                raise Missing(
                    f"'{picture.name}' in the folder '{name}' is a link that leads out of the data set's folder"
                )

    def _check_inside(self, path: str) -> None:
        if path in self._outside:
            raise Missing(f"'{path}' is a link that leads out of the data set's folder")

    def _leads_out(self, entry: os.DirEntry) -> bool:
        return (
            self.files.links == "inside"
            and entry.is_symlink()
            and not is_inside(self.folder, entry.path)
        )

    def _preference(self, name: str) -> tuple[int, str]:
        return self.files.extensions.index(name[len(stem(name, self.files)) :].lower()), name

    def _key(self, short: str) -> str:
        # In YouTube ids, case and the difference of `-` and `_` count.
        return short[:ID_LENGTH] if self.files.match == "youtube_id" else _fold(short)

    def _list(self, place: str) -> _Listing | None:
        """A folder below `folder`, or None where there is none."""
        if place not in self._listings:
            self._listings[place] = self._scan(place)
        return self._listings[place]

    def _scan(self, place: str) -> _Listing | None:
        listing = _Listing()
        if self.files.links == "inside" and not is_inside(self.folder, self.folder / place):
            raise Missing(f"folder '{place}' is a link that leads out of the data set's folder")
        try:
            with os.scandir(self.folder / place) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if self._leads_out(entry):
                        self._outside.add(_join(place, entry.name))
                    try:
                        is_file = entry.is_file()
                        is_folder = entry.is_dir()
                    except (
                        OSError
                    ) as error:  # a link to itself: one broken entry, not a broken folder
                        listing.broken[entry.name] = error.strerror
                        continue
                    if is_file:
                        listing.files.add(entry.name)
                        short = stem(entry.name, self.files)
                        # What a download leaves (x.mp4.part, x.info.json) is no other spelling of x.
                        if short != entry.name:
                            listing.loose_files[self._key(short)].append(entry.name)
                    elif is_folder:
                        listing.folders.add(entry.name)
                        listing.loose_folders[_fold(entry.name)].append(entry.name)
                        listing.loose_frames[self._key(entry.name)].append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Missing(f"folder '{place or '.'}': {error.strerror}") from None
        return listing


def stem(name: str, files: Files) -> str:
    """A file's name without its extension, where that is one of a video's: names may hold further dots."""
    first, dot, extension = name.rpartition(".")
    return first if first and (dot + extension).lower() in files.extensions else name


def is_inside(folder: Path, path: Path | str) -> bool:
    """Whether a path, links followed, lies in a folder (which may itself be behind a link)."""
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def _fold(name: str) -> str:
    """Of one and the same text in any case and any Unicode form, with any blank."""
    return unicodedata.normalize("NFC", name).casefold().translate(_ALIKE)


def _join(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name


def _only(names: list[str]) -> str | None:
    """The one name there is, or None for none."""
    if len(names) > 1:
        raise Missing(f"ambiguous: {', '.join(names)}")
    return names[0] if names else None
