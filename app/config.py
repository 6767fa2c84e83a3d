"""Configs: YAML files checked by pydantic, with errors that a user can act on."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import yaml

from app.errors import UserError


def absolute(path):
    """A path or glob pattern of the user's, made independent of the working directory.

    Everything that comes from a config or the command line passes here once, where it is read: what runs
    later, or in another process, may have another working directory.

    Args:
        path: String or `Path`; `~` is the home folder.

    Returns:
        Absolute path, of the same type.
    """
    return type(path)(os.path.abspath(os.path.expanduser(path)))


PathPattern = Annotated[str, pydantic.AfterValidator(absolute)]
NanRule = Literal["refuse", "zero"]  # what is done with voxels that are NaN


class Config(pydantic.BaseModel):
    """Base of every config: unknown keys refused, values frozen, paths absolute."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    @pydantic.field_validator("*", mode="after")
    @classmethod
    def _absolute(cls, value):
        return absolute(value) if isinstance(value, Path) else value


class TaskConfig(Config):
    """What every task's config has."""

    output: Path
    seed: int = pydantic.Field(0, ge=0, lt=2**32)


def load_config(kind, path, assignments=()):
    """Read, override and check a config.

    Args:
        kind: Subclass of `TaskConfig`.
        path: YAML file.
        assignments: Strings `key=value`, keys dotted, values in YAML.

    Returns:
        An instance of `kind`.

    Raises:
        UserError: If the file is missing or no YAML mapping, or any key or value is wrong;
            all that is wrong is listed.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: config cannot be read ({error.strerror}); give an existing YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({_one_line(error)}); correct the file") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected 'key: value' lines, found {type(values).__name__}; correct the file")
    for assignment in assignments:
        _assign(values, assignment)
    return check_values(kind, values, path)


def check_values(kind, values, where):
    """Values as a config.

    Args:
        kind: Subclass of `TaskConfig`.
        values: Dict.
        where: What the errors name.

    Returns:
        An instance of `kind`.

    Raises:
        UserError: If any key or value is wrong; all that is wrong is listed.
    """
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError([_explain(problem, kind, where) for problem in error.errors()]) from None


def with_values(config, values):
    """A config with other values for some of its keys.

    Args:
        config: A `Config`.
        values: Dict from dotted key to value.

    Returns:
        A config of the same kind.

    Raises:
        UserError: If a key or a value is wrong.
    """
    patched = config.model_dump(mode="json", by_alias=True)
    for key, value in values.items():
        _put(patched, key, value, key)
    return check_values(type(config), patched, ", ".join(values))


def config_text(config):
    """The resolved config as YAML, every default written out.

    Args:
        config: A `Config`.

    Returns:
        String that `load_config` reads back to an equal config.
    """
    return yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False)


def _assign(values, assignment):
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise UserError(f"--set {assignment}: expected KEY=VALUE, e.g. --set training.epochs=5")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--set {key}: value is not valid YAML ({_one_line(error)})") from None
    _put(values, key, value, f"--set {key}")


def _put(values, key, value, where):
    """Set the entry of nested values that a dotted key names; sections that are missing are made."""
    *parents, last = key.split(".")
    for parent in parents:
        child = values.setdefault(parent, {}) if isinstance(values, dict) else values[_index(values, parent, key)]
        if not isinstance(child, dict | list):
            raise UserError(f"{where}: '{parent}' is a value, not a section; check the key")
        values = child
    if isinstance(values, list):
        values[_index(values, last, key)] = value
    else:
        values[last] = value


def _index(values, word, key):
    if word.isdigit() and int(word) < len(values):
        return int(word)
    raise UserError(f"{key}: '{word}' is no index into a list of {len(values)}; count from 0")


def _explain(problem, kind, path):
    where = ".".join(str(part) for part in problem["loc"]) or "the whole file"
    if problem["type"] == "extra_forbidden":
        known = _keys_at(kind, problem["loc"][:-1])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: {where}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{path}: {where}: missing; add it to the file or with --set {where}=VALUE"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (given: {problem['input']!r})"
    return f"{path}: {where}: {message}{given}"


def _keys_at(kind, location):
    """Names of the fields of the section at a location."""
    for part in location:
        if isinstance(part, int):
            continue
        field = next(
            (f for name, f in kind.model_fields.items() if part in (name, f.alias)),
            None,
        )
        kind = _section(field.annotation) if field else None
        if kind is None:
            return []
    return [field.alias or name for name, field in kind.model_fields.items()]


def _section(annotation):
    """The config class within an annotation such as `list[X]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    return next(filter(None, (_section(part) for part in getattr(annotation, "__args__", ()))), None)


def _one_line(error):
    return " ".join(str(error).split())
