"""Progress bars with the time left, on a terminal; quiet where output goes to a file."""


def progress(items, what, total=None):
    """Iterate with a progress bar.

    Args:
        items: Iterable.
        what: What is being done, shown before the bar.
        total: How many items, where there is no `len`.

    Returns:
        Iterator over the items.
    """
    bar = progress_bar()
    with bar:
        yield from bar.track(items, total=total if total is not None else len(items), description=what)


def progress_bar():
    """A rich progress bar of this project's columns.

    Returns:
        `rich.progress.Progress`, hidden where standard error is no terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
