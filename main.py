"""Command line of KerasMorph: `python main.py <task> --config FILE`."""

from app.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
