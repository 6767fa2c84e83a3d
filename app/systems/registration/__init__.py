"""Registration by a network that is trained once for all values of its hyper-parameters."""

from app.systems.about import About

ABOUT = About(
    line="train one registration network for all hyper-parameter values",
    system="app.systems.registration.system:RegistrationSystem",
    config="app.systems.registration.config:HyperMorphConfig",
    contract="app.systems.registration.contract:RegistrationContract",
    steps="app.systems.registration.network:RegistrationSteps",
    predictor="app.systems.registration.registrar:NetworkRegistrar",
    trainings={"train": "train (default) and report"},
)
