"""Flags of the command line from the fields of a config, so that each stands once, in the config."""

import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from training.learning.config import TrainConfig

KEYWORDS = inspect.Parameter.KEYWORD_ONLY


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a flag for each described field of TrainConfig in the place of its ``**flags``.

    What is not given is None. The command finds the flags by their fields' names, as ``read_flags`` expects them.
    """
    parameters = [
        each for each in inspect.signature(command).parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    described = [each for each in fields(TrainConfig) if "help" in each.metadata]
    options = [inspect.Parameter(each.name, KEYWORDS, default=None, annotation=_option(each)) for each in described]
    command.__signature__ = inspect.Signature([*parameters, *options])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in (*parameters, *options)}
    return command


def read_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given, as TrainConfig holds them.

    Raises:
        typer.BadParameter: a word in a list is none of those that it may hold.
    """
    types = {each.name: each for each in fields(TrainConfig)}
    return {name: _value(types[name], value) for name, value in flags.items() if value is not None}


def _option(each: Field[Any]) -> Any:  # an annotation is no type
    about = each.metadata
    kind = {"int": int, "float": float, "str": str}.get(str(getattr(each.type, "__name__", each.type)), str)
    flag = about.get("flag", f"--{each.name.replace('_', '-')}")
    shown = f"{about['help']} {_default(each)}"
    if "flag" in about:  # of a list that is given piece by piece
        return Annotated[list[Path] | None, typer.Option(flag, help=shown)]
    return Annotated[kind | None, typer.Option(flag, help=shown, min=about.get("min"), max=about.get("max"))]


def _default(each: Field[Any]) -> str:
    names = each.metadata.get("names")
    choice = f"All, none, or of {','.join(names)}. " if names else ""
    return (
        f"{choice}By default {each.default or 'none'}."
        if isinstance(each.default, str | tuple)
        else f"By default {each.default}."
    )


def _value(each: Field[Any], value: Any) -> Any:
    if not isinstance(each.default, tuple):
        return value
    if not isinstance(value, str):
        return tuple(map(str, value))
    names = each.metadata["names"]
    words = {"all": tuple(names or ()), "none": ()}.get(value, tuple(value.split(",")))
    if names and (unknown := set(words) - set(names)):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: none of {', '.join(names)}", param_hint=f"--{each.name}")
    return words
