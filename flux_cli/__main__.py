"""The program's entry point, also for `python -m flux_cli`."""

import sys


def run() -> None:
    """Run the command line and exit with its code."""
    try:
        from .cli import main  # inside, so that Ctrl-C while Python is still importing shows no traceback
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())


if __name__ == "__main__":
    run()
