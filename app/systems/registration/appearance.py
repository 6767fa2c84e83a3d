"""What images look like to a network, in three numbers, and whether others look so."""

import statistics

from app.notes import note

WORDS = {
    "background": "share of background",
    "brightness": "mean of what is not background",
    "contrast": "standard deviation of what is not background",
}
FAR = 5.0  # standard deviations
LEAST_SPREAD = 0.03  # images of one scanner hardly differ: others may a little


def appearance(image):
    """Of an image as a network sees it.

    Args:
        image: Array in [0, 1], background 0.

    Returns:
        Dict with the keys of `WORDS`.
    """
    shown = image[image > 0]
    return {
        "background": 1.0 - shown.size / image.size,
        "brightness": float(shown.mean()) if shown.size else 0.0,
        "contrast": float(shown.std()) if shown.size else 0.0,
    }


def appearance_of_all(images):
    """Mean and standard deviation over images.

    Args:
        images: Iterable of arrays.

    Returns:
        Dict from the keys of `WORDS` to [mean, standard deviation].
    """
    rows = [appearance(image) for image in images]
    return {
        name: [statistics.fmean(row[name] for row in rows), statistics.pstdev(row[name] for row in rows)]
        for name in WORDS
    }


def note_strangers(contract, images, names):
    """Say so where images look unlike those of a model's training.

    Args:
        contract: `RegistrationContract`.
        images: Arrays on the model's grid, in [0, 1].
        names: Of their files.
    """
    for image, name in zip(images, names, strict=True):
        measured = appearance(image)
        far = [
            f"{WORDS[key]} {measured[key]:.2f}, in training {mean:.2f} +- {spread:.2f}"
            for key, (mean, spread) in contract.appearance.items()
            if abs(measured[key] - mean) > FAR * max(spread, LEAST_SPREAD)
        ]
        if far:
            note(
                f"{name}: unlike the images of the training ({'; '.join(far)}): another contrast, field of view, or "
                "with and without skull; compare with a registration without model"
            )
