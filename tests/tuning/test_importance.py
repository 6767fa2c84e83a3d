"""What the report says of a search: which hyper-parameters matter, and TensorBoard's HParams page."""

import keras_tuner as kt
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from app.tuning.hparams_board import HParamsBoard
from app.tuning.importance import importance, predicted_slices
from app.tuning.space import Space
from app.tuning.surrogate import Observation


@pytest.fixture
def conditional():
    """A choice, a share that exists for one kind only, and a number without effect."""
    hp = kt.HyperParameters()
    hp.Choice("kind", ["plain", "dropout"])
    with hp.conditional_scope("kind", ["dropout"]):
        hp.Float("share", 0.0, 1.0)
    hp.Float("nothing", 0.0, 1.0)
    return Space(hp)


def observe(space, count, seed):
    rows = space.draw(count, np.random.default_rng(seed))
    return [Observation(row, value(space.values(row))) for row in rows]


def value(values):
    return 2.0 if values["kind"] == "plain" else 1.0 + (values["share"] - 0.3) ** 2


def test_what_matters_is_named(conditional):
    """The choice decides most, the number nothing; a share that only some have is no error."""
    shares = importance(conditional, observe(conditional, 60, 0), np.random.default_rng(0))
    assert set(shares) == {"kind", "share", "nothing"}
    assert shares["kind"] > 0.6
    assert shares["nothing"] < 0.02 < shares["kind"]
    assert shares["share"] > shares["nothing"]


def test_slices_go_through_the_best(conditional):
    """Prediction along each hyper-parameter that the best has: near the truth there."""
    slices = {
        item.name: item for item in predicted_slices(conditional, observe(conditional, 60, 0), np.random.default_rng(0))
    }
    assert set(slices) == {"kind", "share", "nothing"}
    truth = [1.0 + (share - 0.3) ** 2 for share in slices["share"].values]
    assert np.abs(slices["share"].middle - truth).max() < 0.1
    assert np.all(slices["share"].low <= slices["share"].high)
    plain = [item for item in observe(conditional, 60, 0) if conditional.values(item.row)["kind"] == "plain"]
    names = {item.name for item in predicted_slices(conditional, plain, np.random.default_rng(0))}
    assert names == {"kind", "nothing"}, "the best has no share, and a slice along it would mean nothing"


def test_the_hparams_page_holds_each_configuration_once(conditional, tmp_path):
    """One entry a configuration with its values and every epoch, promotions in the same; domains are declared."""
    board = HParamsBoard(tmp_path, "loss", conditional)
    for epoch in (1, 2):
        values = {"kind": "dropout", "share": 0.25, "nothing": 0.5, "tuner/epochs": epoch}
        board.write("0003", values, {"epoch": epoch, "loss": 1.0 / epoch, "train_seconds": 2.0 * epoch})
    HParamsBoard(tmp_path, "loss", conditional)  # a resumed search declares nothing twice
    declared = [entry for path in tmp_path.glob("events*") for entry in summaries(path, metadata.EXPERIMENT_TAG)]
    experiment = metadata.parse_experiment_plugin_data(declared[0])
    assert len(declared) == 1
    assert [hparam_info.name for hparam_info in experiment.hparam_infos] == [
        "kind",
        "share",
        "nothing",
        "failed_because",
    ]
    assert sorted(experiment.hparam_infos[0].domain_discrete) == ["dropout", "plain"]
    assert experiment.hparam_infos[1].domain_interval.max_value == 1.0
    folder = tmp_path / "configuration_0003"
    begun = [entry for path in folder.glob("events*") for entry in summaries(path, metadata.SESSION_START_INFO_TAG)]
    assert len(begun) == 1
    session = metadata.parse_session_start_info_plugin_data(begun[0])
    assert {name: hparam.string_value or hparam.number_value for name, hparam in session.hparams.items()} == {
        "kind": "dropout", "share": 0.25, "nothing": 0.5
    }  # fmt: skip
    losses = EventAccumulator(str(folder)).Reload().Tensors("loss")
    # Files of one second are read in the order of their names, 100 before 99.
    assert sorted(entry.step for entry in losses) == [1, 2]


def summaries(path, tag):
    """Contents that the HParams plugin left in an event file under a tag."""
    file = EventAccumulator(str(path)).Reload()
    try:
        return [content for name, content in file.PluginTagToContent("hparams").items() if name == tag]
    except KeyError:
        return []
