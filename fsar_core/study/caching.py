"""A cache for methods, which lives as long as their object."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def cached_method(method: Method) -> Method:
    """Keep what a method returned for each combination of arguments.

    Snakemake asks for the same tables, runs and specs once for every job.

    Example:
        >>> class Counter:
        ...     calls = 0
        ...     @cached_method
        ...     def double(self, number):
        ...         self.calls += 1
        ...         return 2 * number
        >>> counter = Counter()
        >>> counter.double(2), counter.double(2), counter.calls
        (4, 4, 1)
    """
    name = f"_{method.__name__}_by_arguments"

    @wraps(method)
    def cached(self: Any, *args: Any, **kwargs: Any) -> Any:
        results = self.__dict__.setdefault(name, {})
        key = (args, tuple(sorted(kwargs.items())))
        if key not in results:
            results[key] = method(self, *args, **kwargs)
        return results[key]

    return cached  # type: ignore[return-value]
