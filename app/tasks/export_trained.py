"""What every export of a task's own network has in common."""

from app.quiet import import_keras


def export_trained(task, folder, load, to, dry_run):
    """Write a trained network as a SavedModel, checked in a fresh process.

    Args:
        task: Its name.
        folder: `RunFolder` of its training.
        load: Function `() -> (contract, export, serves)`: the contract's class; a function of `app.export.saved_model`;
            what the SavedModel's signature is and does.
        to: Folder of the servable.
        dry_run: Check and print only.

    Raises:
        UserError: If nothing was trained, or a file is damaged.
    """
    import_keras()

    from app.training.train import load_trained

    contract, export, serves = load()
    model, kept = load_trained(folder, contract, task)
    if dry_run:
        return print(f"would write a SavedModel into {to}; nothing was written")
    path, difference = export(model, kept, to)
    print(f"{path}: {serves}; largest difference in a fresh process {difference:.1e}")
