"""What shortens the trainings that pages show."""

SMALL_REGISTRATION = [
    "network.features=images", "network.encoder=[4, 8]", "network.decoder=[8, 4]", "network.final=[4]",
    "network.units=4", "network.depth=1", "network.integration_steps=0", "training.epochs=1", "training.steps=2",
    "training.validate_pairs=1", "evaluation.values=2", "data.pairs=2",
]  # fmt: skip


SMALL_BRAINS = "{subjects: 7, shape: [24, 24, 24], deformation_vox: 0.8}"


SMALL_SPLIT = "data.split={train: 3, validate: 2, test: 2}"


SMALL_BODIES = ["data.phantom={subjects: 8, matrix: 32}", "data.size=32", "training.epochs=1", "training.slices=64"]


SMALL_CUBE = [
    "data.size=16",
    "training.epochs=1",
    "network.filters=[2, 3]",
    "data.split={train: 4, validate: 1, test: 1}",
]


SMALL_KIDNEYS = ["data.phantom={adults: 6, children: 6, detail_mm: 8.0}", "data.spacing_mm=16.0"]


SMALL_TEMPLATE = ["template.subjects=3", "template.allow_parts=true", "refinement_steps=1"]


# What shortens the trainings of each config; everything else of a command is run as it stands.
SHORTER = {
    "configs/hypermorph/demo.yaml": [*SMALL_REGISTRATION, f"data.phantom={SMALL_BRAINS}", SMALL_SPLIT],
    "configs/hypermorph/ixi_3d.yaml": [*SMALL_REGISTRATION, SMALL_SPLIT],
    "configs/hypermorph/own.yaml": SMALL_REGISTRATION,
    "configs/fov/demo.yaml": SMALL_BODIES,
    "configs/fov/baseline.yaml": [*SMALL_BODIES, "network.filters=2", "network.units=[4]"],
    "configs/kidney/source.yaml": [*SMALL_CUBE, *SMALL_KIDNEYS],
    "configs/kidney/transfer.yaml": [*(key for key in SMALL_CUBE if not key.startswith("network")), *SMALL_KIDNEYS],
    "configs/template/kidney.yaml": [*SMALL_CUBE, *SMALL_KIDNEYS, *SMALL_TEMPLATE],
    "configs/template/hippocampus.yaml": [*SMALL_CUBE, *SMALL_TEMPLATE, "data.spacing_mm=4.0"],
    "configs/template/brain.yaml": [*SMALL_CUBE, *SMALL_TEMPLATE, "data.spacing_mm=4.0"],
    "configs/tune/demo.yaml": [
        *SMALL_REGISTRATION,
        f"data.phantom={SMALL_BRAINS}",
        SMALL_SPLIT,
        "search.budget=1",
        "search.method=random",
        "search.trials=2",
        "search.space={network.units: {choices: [2, 4, 6]}}",
    ],
    "configs/tune/fov.yaml": [
        *SMALL_BODIES,
        "training.validate_slices=64",
        "search.method=random",
        "search.trials=2",
        "search.unit=epochs",
        "search.budget=1",
        "search.space={network.filters: {choices: [2, 4]}}",
    ],
    "configs/convert/voxelmorph.yaml": ["verify=false"],  # tests/oracles verifies
}
SHORTER["FILE"] = SHORTER["configs/tune/demo.yaml"]  # fmt: skip
