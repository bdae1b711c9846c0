"""The program's entry point, also for `python -m flux_cli`."""

import gc
import os
import sys

SIGNALS_BY_EXIT_CODE = {130: 2, 143: 15}
"""Exit codes of commands that SIGINT and SIGTERM ended, and the numbers of these signals."""


def run() -> None:
    """Run the command line and exit with its code."""
    code: int | None = None
    while True:
        try:
            if code is None:
                code = _run()
            _leave(code)
        except KeyboardInterrupt:  # once there is a code, everything is printed: Ctrl-C comes too late to change it
            code = 130 if code is None else code


def _run() -> int:
    import signal  # inside, as what follows: `run` takes what Ctrl-C raises meanwhile

    takes_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if takes_interrupts:  # nothing has begun while Python imports: Ctrl-C ends it at once, and without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from .cli.fast_path import answer

        text = answer(sys.argv[1:])
        if text is not None and sys.stdout is not None:
            return _print(text)
        # httpx brings a command line of its own, and with it rich and pygments: more than half of its import.
        sys.modules["httpx._main"] = None  # type: ignore[assignment]  # how an import is refused
        gc.disable()  # what is imported stays: looking for garbage in it takes a tenth of the start
        from .cli.main import main

        gc.freeze()
        gc.set_threshold(50_000)  # more than a short command makes; after every 700, nothing would be found
        gc.enable()
        if takes_interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return main()
    except BrokenPipeError:
        return 141


def _print(text: bytes) -> int:
    """Write text that was rendered beforehand to stdout. Return the exit code."""
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        return 141
    except OSError as error:
        _print_error(f"flux: cannot write to stdout: {error.strerror}\n")
        return 11
    return 0


def _leave(code: int) -> None:
    """Exit without tearing the interpreter down, which takes as long as starting it: everything is closed by now."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = 141
    except OSError:
        code = code or 11
    _print_error("")
    if code in SIGNALS_BY_EXIT_CODE and os.name == "posix":
        _end_by_signal(SIGNALS_BY_EXIT_CODE[code])
    os._exit(code)


def _print_error(text: str) -> None:
    """Write text to stderr, and what waits to be written there. A message that cannot be written changes nothing."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except OSError:
        pass


def _end_by_signal(number: int) -> None:
    """End by the signal that stopped the command: only then does a shell loop stop too, and submits nothing more.

    A signal that the caller ignores (nohup) leaves the process alive.
    """
    import signal

    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    run()
