"""The base class of specs, and components with their parameters."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fsar_core.errors import FsarError
from fsar_core.storage.provenance import canonical_json, digest


def younger(default: Any) -> Any:
    """Return a field added later; it is omitted while it has its default.

    Old keys and digests stay valid that way.
    """
    return Field(default=default, exclude_if=lambda value: value == default)


class Spec(BaseModel):
    """Base class of all specs: immutable, without unknown keys.

    Example:
        >>> Component(name="otam", params={"lambda_": 0.1}).json_text
        '{"name":"otam","params":{"lambda_":0.1}}'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def json_text(self) -> str:
        """The canonical JSON, as rules pass it to jobs."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of its canonical JSON."""
        return digest(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, text: str, option: str = "--spec"):
        """Return the spec of a JSON text, as the rules pass it.

        Args:
            option: that the text was given as, for the error.
        Raises:
            FsarError: the text is anything else.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole text"
            raise FsarError(f"{option} is no {cls.__name__}: {where}: {first['msg']}") from None


class Component(Spec):
    """A component by name, with the parameters that a user gives."""

    name: str
    params: dict[str, Any] = {}


def difference(expected: dict, found: dict, prefix: str = "") -> str | None:
    """Return the first field in which two dumps of specs differ; None if they are equal.

    Example:
        >>> difference({"frames": {"size": 80}}, {"frames": {"size": 72}})
        'frames.size: expected 80, found 72'
    """
    for key in sorted(expected.keys() | found.keys()):
        left, right = expected.get(key, "absent"), found.get(key, "absent")
        if isinstance(left, dict) and isinstance(right, dict):
            deeper = difference(left, right, f"{prefix}{key}.")
            if deeper:
                return deeper
        elif left != right:
            return f"{prefix}{key}: expected {left!r}, found {right!r}"
    return None
