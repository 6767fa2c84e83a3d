"""What the flows ask and refuse, of one system or another."""

import json
from types import SimpleNamespace

import pytest

from app.config import config_text, load_config
from app.data.phantoms.bodies import write_bodies
from app.data.phantoms.config import BodiesConfig
from app.errors import UserError
from app.flows.evaluate import evaluate
from app.systems import find_system
from app.systems.fov.config import FovConfig
from app.systems.opened import open_run
from app.systems.registration.config import HyperMorphConfig
from app.systems.registration.cost import hypermorph_cost
from app.systems.template.config import TemplateConfig
from app.tasks.evaluate_config import EvaluateConfig
from app.training.run_folder import RunFolder
from tests.app.template_cases import config_writer


def test_memory_is_counted_again_where_the_images_are_known(main, small_config, monkeypatch, tmp_path):
    """Before a cohort is read only weights count; a training that does not fit would end in the middle, killed."""
    config = load_config(HyperMorphConfig, small_config)
    weights, whole = (hypermorph_cost(config, shape).bytes(1) for shape in (None, (24, 24, 24)))
    monkeypatch.setattr("app.training.cost.machine_bytes", lambda: (weights + whole) / 2)
    monkeypatch.setattr("app.training.cost._graphics_bytes", lambda: 0)
    done = main("hypermorph", "--config", small_config, "--set", f"output={tmp_path / 'run'}")
    assert done.returncode == 2, done.stdout
    assert "of memory would be needed" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_dry_run_where_a_training_has_begun(main, cohort, tmp_path):
    """Its folder has the template, which is neither built nor missing."""
    path = config_writer(cohort, tmp_path)("run")
    done = main("template", "build", "--config", path, "--to", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    (tmp_path / "run" / "config.yaml").write_text(config_text(load_config(TemplateConfig, path)))
    done = main("template", "--config", path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "s per step" in done.stdout


@pytest.fixture
def bodies(tmp_path):
    """A run folder of simulated bodies without a network, and its config."""
    config = FovConfig(output=tmp_path / "run", data={"phantom": {"subjects": 8, "matrix": 32}, "size": 32},
                       network={"blocks": 3})  # fmt: skip
    write_bodies(tmp_path / "run" / "phantoms", BodiesConfig(subjects=8, matrix=32))
    return SimpleNamespace(system=find_system("fov"), folder=RunFolder(tmp_path / "run")), config


def test_a_dry_run_of_an_evaluation_simulates_nothing(bodies, tmp_path):
    """It says that nothing was written."""
    run, config = bodies
    image = next((tmp_path / "run" / "phantoms" / "image").iterdir())
    image.unlink()
    evaluate(run, config, tmp_path / "out", dry_run=True)
    assert not image.exists()
    assert not (tmp_path / "out").exists()


def test_an_evaluation_writes_into_no_other_run(bodies, tmp_path):
    """The config of an interrupted training would be gone, and with it its resumption."""
    run, config = bodies
    for name, text in (("checkpoints/last.keras", ""), ("config.yaml", "task: hypermorph\n")):
        to = tmp_path / name.replace("/", "_")
        (to / name).parent.mkdir(parents=True)
        (to / name).write_text(text)
        with pytest.raises(UserError, match="holds a"):
            evaluate(run, config, to)
        assert [path.name for path in to.rglob("*") if path.is_file()] == [name.split("/")[-1]]


def test_an_older_model_without_its_run(tmp_path):
    """Contracts named no system; the task that opens it does."""
    (tmp_path / "model.keras").write_bytes(b"")
    contract = {"size": 16, "spacing_mm": 4.0, "strategy": "source", "simulated": True}
    (tmp_path / "model.json").write_text(json.dumps(contract))
    assert open_run(tmp_path, find_system("kidney")).contract.size == 16
    with pytest.raises(UserError, match=r"model\.json"):
        open_run(tmp_path)


def test_an_evaluations_own_config_is_read_again(tmp_path):
    """It holds every default; only another value is one that was asked for."""
    kept = EvaluateConfig.model_validate(EvaluateConfig(model=tmp_path).model_dump())
    config = FovConfig(output=tmp_path, data={"phantom": {}})
    run = SimpleNamespace(config=lambda: config, folder=RunFolder(tmp_path))
    assert find_system("fov").evaluation(run, kept).output == tmp_path
    with pytest.raises(UserError, match="subjects: of registration"):
        find_system("fov").evaluation(run, kept.model_copy(update={"subjects": "all"}))
