"""Write a trained network as a SavedModel for inference servers."""

from app.quiet import import_keras


def export(run, config, to, dry_run=False):
    """Export, and check in a process that has TensorFlow alone.

    Args:
        run: `OpenRun`.
        config: As for `OpenRun.predictor`.
        to: Folder of the servable, whose next version is written.
        dry_run: Check and print only.

    Raises:
        UserError: If a file is damaged, or the folder cannot be written.
    """
    import_keras()

    from app.export.saved_model import export_model

    predictor = run.predictor(config)
    endpoints = predictor.endpoints()
    if dry_run:
        return print(f"would write a SavedModel of {run.model_file} into {to}\ndry run: nothing was written")
    path, difference = export_model(predictor.model, run.contract, to, endpoints)
    print(f"exported {path}: signatures {', '.join(endpoints)}")
    print(f"checked in a process that imports TensorFlow alone: largest difference {difference:.1e}")
