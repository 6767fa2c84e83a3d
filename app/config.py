"""Configs: YAML files checked by pydantic, with errors that a user can act on."""

import difflib
import os
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import yaml

from app.errors import UserError, printable, shortened
from app.files import user_text
from app.yaml_text import DEEPEST, LARGEST, read_yaml, shown

LINE = 300  # letters of a problem
MOST_PROBLEMS = 30  # listed of one config
LONGEST_NAME, LONGEST_PATH = 255, 4096  # bytes; Linux' own limits, larger than or equal to other systems'


def absolute(path):
    """A path or glob pattern of the user's, made independent of the working directory.

    Everything that comes from a config or the command line passes here once (through `user_path`), where it is read:
    what runs later, or in another process, may have another working directory.

    Args:
        path: String or `Path`; `~` is the home folder.

    Returns:
        Absolute path, of the same type.
    """
    return type(path)(os.path.abspath(os.path.expanduser(path)))


def user_path(path):
    """`absolute`, of a path that a system can take.

    Args:
        path: As for `absolute`.

    Returns:
        As `absolute`.

    Raises:
        ValueError: If it is empty, too long or holds control characters.
    """
    text = str(path)
    if not text:
        raise ValueError("an empty path; name a file or folder, or leave the key out")
    if any(unicodedata.category(letter) == "Cc" or letter in _BIDI for letter in text):
        raise ValueError("a path with control characters (NUL, a line's end, an escape); rename the file")
    path = absolute(path)
    if len(os.fsencode(path)) >= LONGEST_PATH or any(
        len(os.fsencode(part)) > LONGEST_NAME for part in Path(path).parts
    ):
        raise ValueError(f"a path longer than systems take ({len(text):,} letters); shorten it")
    return path


_BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # they show a name in another order
Width = Annotated[int, pydantic.Field(ge=1, le=4096)]  # features of a layer
Axis = Annotated[int, pydantic.Field(ge=1, le=2048)]  # voxels of an image along an axis
PathPattern = Annotated[str, pydantic.AfterValidator(user_path)]
NanRule = Literal["refuse", "zero"]  # what is done with voxels that are NaN


class Config(pydantic.BaseModel):
    """Base of every config: unknown keys refused, values frozen, paths absolute."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @pydantic.field_validator("*", mode="after")
    @classmethod
    def _absolute(cls, value):
        if isinstance(value, list):
            return [user_path(each) if isinstance(each, Path) else each for each in value]
        return user_path(value) if isinstance(value, Path) else value


class TaskConfig(Config):
    """What every task's config has."""

    output: Path
    """Folder for everything that is written."""
    seed: int = pydantic.Field(0, ge=0, lt=2**32)
    """Start of all random draws: the same seed gives the same result."""


def load_config(kind, path, assignments=()):
    """Read, override and check a config.

    Args:
        kind: Subclass of `TaskConfig`.
        path: YAML file; None where the assignments are all.
        assignments: Strings `key=value`, keys dotted, values in YAML.

    Returns:
        An instance of `kind`.

    Raises:
        UserError: If the file is missing or no YAML mapping, or any key or value is wrong;
            all that is wrong is listed.
    """
    values = {} if path is None else read_yaml(user_text(Path(path), LARGEST, "give an existing YAML file"), path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected 'key: value' lines, found {type(values).__name__}; correct the file")
    for assignment in assignments:
        _assign(values, assignment)
    return check_values(kind, values, path or "command line")


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
        listed = error.errors(include_url=False)[:MOST_PROBLEMS]
        problems = [shortened(printable(_explain(problem, kind, where)), LINE) for problem in listed]
        if error.error_count() > MOST_PROBLEMS:
            problems.append(f"{where}: and {error.error_count() - MOST_PROBLEMS:,} more; correct these first")
        raise UserError(problems) from None


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
        raise UserError(f"--set {shown(assignment)}: expected KEY=VALUE, e.g. --set training.epochs=5")
    where = f"--set {shown(key)}"
    _put(values, key, read_yaml(text, where, "correct the value"), where)


def _put(values, key, value, where):
    """Set the entry of nested values that a dotted key names; sections that are missing are made."""
    *parents, last = key.split(".")
    if len(parents) >= DEEPEST:
        raise UserError(f"{where}: more than {DEEPEST} sections within each other; check the key")
    for parent in parents:
        child = values.setdefault(parent, {}) if isinstance(values, dict) else values[_index(values, parent, key)]
        if not isinstance(child, dict | list):
            raise UserError(f"{where}: '{shown(parent, 40)}' is a value, not a section; check the key")
        values = child
    if isinstance(values, list):
        values[_index(values, last, key)] = value
    else:
        values[last] = value


def _index(values, word, key):
    if word.isdecimal() and len(word) < 10 and int(word) < len(values):
        return int(word)
    raise UserError(f"{shown(key)}: '{shown(word, 40)}' is no index into a list of {len(values)}; count from 0")


def _explain(problem, kind, path):
    where = shown(".".join(str(part) for part in problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = _keys_at(kind, problem["loc"][:-1])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: {where}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{path}: {where}: missing; add it to the file or with --set {where}=VALUE"
    message = problem["msg"].removeprefix("Value error, ")
    if not where and message.partition(":")[0] in kind.model_fields:  # of several keys: the message names the first
        return f"{path}: {message}"
    where = where or "the whole file"
    given = "" if isinstance(problem["input"], dict) else f" (given: {shown(repr(problem['input']), 60)})"
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
        kind = section_class(field.annotation) if field else None
        if kind is None:
            return []
    return [field.alias or name for name, field in kind.model_fields.items()]


def section_class(annotation):
    """The config class within an annotation such as `list[X]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    return next(filter(None, (section_class(part) for part in getattr(annotation, "__args__", ()))), None)
