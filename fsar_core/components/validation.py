"""Enforce the constraints of a signature when it is called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from fsar_core.components.parameters import REQUIRED, Parameter
from fsar_core.components.source import constraint_of

Function = TypeVar("Function", bound=Callable[..., Any])


def check_arguments(
    owner: str | Callable[[Any], str],
) -> Callable[[Function], Function]:
    """Decorate a function so that it checks its arguments against their annotations first.

    Args:
        owner: the component, for messages; or a function that derives it from the first argument.
    Raises:
        FsarError: when the decorated function is called with an invalid value.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        parameters = _constrained_parameters(function)

        @functools.wraps(function)
        def check_and_call(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            name = owner(args[0]) if callable(owner) else owner
            for parameter in parameters:
                if parameter.name in given:
                    parameter.check(name, given[parameter.name])
            return function(*args, **kwargs)

        return check_and_call

    return decorate


def _constrained_parameters(function: Callable[..., Any]) -> list[Parameter]:
    annotations = inspect.get_annotations(function)
    annotations.pop("return", None)
    constraints = {name: constraint_of(annotation) for name, annotation in annotations.items()}
    return [
        Parameter(name, REQUIRED, constraint)
        for name, constraint in constraints.items()
        if constraint is not Any
    ]
