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
        except KeyboardInterrupt:  # once there is a code, all output is written, and Ctrl-C does not change the code
            code = 130 if code is None else code


def _run() -> int:
    import signal  # imported here, like the modules below, so that `run` catches a Ctrl-C during the imports

    handles_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handles_interrupts:  # nothing has started yet: Ctrl-C ends the imports without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from .cli.fast_path import find_output

        text = find_output(sys.argv[1:])
        if text is not None and sys.stdout is not None:
            return _print(text)
        # httpx imports its own command line, and with it rich and pygments: more than half of its import time.
        sys.modules["httpx._main"] = None  # type: ignore[assignment]  # makes that import fail, which httpx catches
        gc.disable()  # imported objects live until the end; searching them for garbage takes a tenth of the start
        from .cli.main import main

        gc.freeze()
        gc.set_threshold(50_000)  # a short command makes fewer objects: collections, every 700, would find nothing
        gc.enable()
        if handles_interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return main()
    except BrokenPipeError:
        return 141


def _print(text: bytes) -> int:
    """Write pre-rendered text to stdout, and return the exit code."""
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
    """Exit without tearing down the interpreter, which takes as long as starting it. Everything is closed already."""
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
    """Write text to stderr and flush it. Ignore errors: a message that cannot be written changes no exit code."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except OSError:
        pass


def _end_by_signal(number: int) -> None:
    """End the process by the signal that stopped the command. Only then does a shell loop stop and submit no more.

    A signal that the caller ignores (nohup) leaves the process alive.
    """
    import signal

    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    run()
