"""Task `export`: write a trained model as a SavedModel for inference servers."""

from app.config import config_text
from app.quiet import import_keras
from app.training.contract import find_model


def run(config, dry_run=False):
    """Export and check.

    Args:
        config: `ExportConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: If the model is missing or damaged.
    """
    model_file, contract = find_model(config.model)
    if dry_run:
        print(config_text(config))
        print(f"model: {model_file}, hyper-parameters {contract.hyper}\ndry run: nothing was written")
        return
    import_keras()

    from app.export.saved_model import export_model
    from app.training.train import load_registration

    path, difference = export_model(load_registration(model_file, contract), contract, config.output)
    print(f"exported {path}: signatures register, displacement, warp; any spatial size")
    print(f"checked in a process that imports TensorFlow alone: largest difference {difference:.1e}")
