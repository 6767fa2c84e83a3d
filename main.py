"""Command line of KerasMorph: `python main.py <task> --config FILE`."""

from app.signals import end_on_signals

if __name__ == "__main__":
    end_on_signals()
    from app.cli import main

    raise SystemExit(main())
