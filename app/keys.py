"""What each key of a config is for: the command line prints it, and the docs show the same."""

import types
import typing
from pathlib import Path

import annotated_types

from app.config import section_class

WORDS = {
    int: "whole number",
    float: "number",
    bool: "true | false",
    str: "text",
    Path: "path",
    list: "list of any values",
}
REQUIRED = "required"


def key_rows(kind):
    """The keys of a config, sections before what they hold.

    Args:
        kind: Subclass of `Config`.

    Returns:
        List of dicts of strings: `key` (dotted; `[]` for each entry of a list, `NAME` for a key of the user's choice),
        `type`, `default` and `meaning`.
    """
    return _rows(kind, "", set())


def keys_text(kind):
    """`key_rows` as lines for a terminal.

    Args:
        kind: Subclass of `Config`.

    Returns:
        String.
    """
    lines = []
    for row in key_rows(kind):
        default = "" if not row["default"] else f" = {row['default']}" if row["default"] != REQUIRED else " (required)"
        lines += [f"{row['key']}{default}", f"    {row['meaning']}" + (f" [{row['type']}]" if row["type"] else "")]
    return "\n".join(lines)


def keys_table(kind, section=""):
    """`key_rows` as a Markdown table.

    Args:
        kind: Subclass of `Config`.
        section: Only what this section holds.

    Returns:
        String.
    """
    lines = ["| key | default | values | meaning |", "|---|---|---|---|"]
    for row in key_rows(kind):
        if not row["key"].startswith(section and f"{section}."):
            continue
        default = row["default"] if row["default"] in ("", REQUIRED) else f"`{row['default']}`"
        lines.append(f"| `{row['key']}` | {default} | {row['type'].replace(' |', ',')} | {row['meaning']} |")
    return "\n".join(lines)


def _rows(kind, prefix, above):
    rows = []
    for name, field in kind.model_fields.items():
        key, inner = prefix + (field.alias or name), section_class(field.annotation)
        default = _default(field, inner)
        rows.append(
            {
                "key": key,
                "type": "" if inner else _type(field),
                "default": default,
                "meaning": " ".join((field.description or "").split()),
            }
        )
        if inner and inner not in above:
            outer = typing.get_origin(_without_none(field.annotation))
            step = "[]." if outer is list else ".NAME." if outer is dict else "."
            rows += _rows(inner, key + step, above | {inner})
    return rows


def _default(field, inner):
    if field.is_required():
        return REQUIRED
    value = field.default
    if inner:  # its own keys have theirs
        return "none" if value is None else ""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list) and not value:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("'", "")


def _without_none(annotation):
    """A type that may also be `None`, without it."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    kept = tuple(part for part in typing.get_args(annotation) if part is not type(None))
    return kept[0] if len(kept) == 1 else typing.Union[kept]  # noqa: UP007 - made at run time


def _type(field):
    several = typing.get_origin(_without_none(field.annotation)) in (list, dict)
    return _words(field.annotation) + _bounds(field.metadata, several)


def _words(annotation):
    plain = _without_none(annotation)
    origin, parts = typing.get_origin(plain), typing.get_args(plain)
    if origin is typing.Annotated:
        constraints = [constraint for part in parts[1:] for constraint in getattr(part, "metadata", [part])]
        return _words(parts[0]) + _bounds(constraints)
    if origin is typing.Literal:
        return " | ".join(map(str, parts))
    if origin in (typing.Union, types.UnionType):
        return "number" if set(parts) == {int, float} else " | ".join(map(_words, parts))
    if origin is list:
        return f"list of: {_words(parts[0])}"
    if origin is dict:
        return f"NAME: {_words(parts[1])}"
    return WORDS[plain]


def _bounds(metadata, length=False):
    """Bounds of a number, or of how many entries there are, in words."""
    ends = {type(constraint): constraint for constraint in metadata}
    low, above = ends.get(annotated_types.Ge), ends.get(annotated_types.Gt)
    high, below = ends.get(annotated_types.Le), ends.get(annotated_types.Lt)
    said = []
    if low and high:
        said.append(f"{_number(low.ge)} to {_number(high.le)}")
    else:
        said += [f"at least {_number(low.ge)}"] if low else []
        said += [f"above {_number(above.gt)}"] if above else []
        said += [f"at most {_number(high.le)}"] if high else []
        said += [f"below {_number(below.lt)}"] if below else []
    if step := ends.get(annotated_types.MultipleOf):
        said.append(f"a multiple of {step.multiple_of}")
    if length:
        least = getattr(ends.get(annotated_types.MinLen), "min_length", 0)
        most = getattr(ends.get(annotated_types.MaxLen), "max_length", None)
        if least and least == most:
            said.append(f"{least} of them")
        elif most is not None:
            said.append(f"{least} to {most:,} of them")
    return f", {', '.join(said)}" if said else ""


def _number(value):
    return f"{int(value):,}" if value == int(value) and abs(value) < 1e13 else f"{value:g}"
