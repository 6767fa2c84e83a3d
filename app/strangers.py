"""What may be believed of files that strangers wrote: kinds of file, JSON, and the numbers of a network's config."""

import json
import math
import os
import stat

from app.errors import UserError

MOST_JSON, MOST_LEVELS = 2**20, 64
MOST_NUMBER, MOST_LENGTH, MOST_REPEATS = 2**16, 256, 64
REPEATS = {
    "integration_steps", "depth", "blocks", "convolutions", "hyper_depth", "hyper", "rank", "velocity_resolution",
    "int_steps", "nb_hyp_layers", "nb_hyp_params", "nb_unet_levels", "nb_unet_conv_per_level", "unet_feat_mult",
}  # fmt: skip
WIDTHS = {
    "encoder": 9,
    "decoder": 9,
    "final": 9,
    "filters": 9,
    "nb_unet_features": 9,
    "units": 1,
    "hyper_units": 1,
    "nb_hyp_units": 1,
}  # fmt: skip; least taps of a kernel between two layers of these widths


def regular_file(path, what="file"):
    """Size of a file that may be opened: a pipe would wait for ever, a device has no end.

    Args:
        path: File; links are followed.
        what: What is expected, for the message.

    Returns:
        Bytes.

    Raises:
        UserError: If it is no file.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        raise UserError(f"{path}: no such {what}; correct the path") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: a pipe, device or folder where a file is expected; give a regular file")
    return status.st_size


def parse_json(content, where):
    """JSON of a stranger.

    Args:
        content: Bytes.
        where: Of what, for messages.

    Returns:
        Dict.

    Raises:
        UserError: If it is longer than a megabyte, deeper than 64 levels, no JSON or no mapping.
    """
    remedy = "restore it from its source"
    if len(content) > MOST_JSON:
        raise UserError(f"{where}: longer than a megabyte; {remedy}")
    if _levels(content) > MOST_LEVELS:
        raise UserError(f"{where}: more than {MOST_LEVELS} levels deep; {remedy}")
    try:
        values = json.loads(content)
    except ValueError as error:
        raise UserError(f"{where}: no JSON ({str(error)[:80]}); {remedy}") from None
    if not isinstance(values, dict):
        raise UserError(f"{where}: a {type(values).__name__} where keys and values are expected; {remedy}")
    return values


def check_sizes(value, where):
    """See that a network's config holds no number, list or word that none has: it would be built.

    Args:
        value: What JSON holds.
        where: For messages.

    Raises:
        UserError: If it does.
    """
    if isinstance(value, dict):
        for key, entry in value.items():
            if key in REPEATS and isinstance(entry, int) and not 0 <= entry <= MOST_REPEATS:
                raise UserError(f"{where}: {key}: {entry!s:.30}, at most {MOST_REPEATS}; restore it from its source")
            check_sizes(entry, f"{where}: {str(key)[:40]}")
    elif isinstance(value, list):
        if len(value) > MOST_LENGTH:
            raise UserError(f"{where}: {len(value)} entries, at most {MOST_LENGTH}; restore it from its source")
        for entry in value:
            check_sizes(entry, where)
    elif isinstance(value, int | float) and not abs(value) <= MOST_NUMBER:
        raise UserError(f"{where}: {value!s:.30}, no network has that; restore it from its source")
    elif isinstance(value, str) and len(value) > MOST_NUMBER:
        raise UserError(f"{where}: a word of {len(value)} letters; restore it from its source")


def check_widths(values, held, where):
    """See that layers of these widths could have their weights in so many bytes, before they are built.

    Args:
        values: A network's config.
        held: Bytes of weights.
        where: For messages.

    Raises:
        UserError: If they could not.
    """
    if isinstance(values.get("architecture"), dict):  # of an official model
        check_widths(values["architecture"], held, where)
    bank = [values.get(key) for key in ("members", "structures", "size", "size", "size")]
    if all(isinstance(width, int) for width in bank) and 4 * math.prod(bank) > held:
        raise UserError(
            f"{where}: {bank[0]} templates of {bank[2]} voxels cubed are not in its {held} bytes of weights"
        )
    for key, value in values.items():
        taps = WIDTHS.get(key)
        if taps is None or (key == "units" and values.get("head") == "pool"):
            continue
        nested = isinstance(value, list) and all(isinstance(part, list) for part in value)
        for widths in value if nested else [value]:
            widths = [widths, widths] if isinstance(widths, int) else widths
            if not isinstance(widths, list) or not all(isinstance(width, int) for width in widths):
                continue  # its own reader refuses it
            least = 4 * taps * sum(a * b for a, b in zip(widths, widths[1:], strict=False))
            if least > held:
                raise UserError(
                    f"{where}: {key} {str(value)[:60]} takes {least} bytes of weights or more, it holds {held}; "
                    "restore it from its source"
                )


def _levels(content):
    """How deep brackets are nested, without recursion; those within words count, which JSON of ours has none of."""
    depth = deepest = 0
    for byte in content:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
