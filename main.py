"""Command line of KerasMorph: `python main.py <task> --config FILE`."""

from app.signals import end_on_signals, ignore_signals

if __name__ == "__main__":
    end_on_signals()
    from app.cli import main

    code = main()
    ignore_signals()
    raise SystemExit(code)
