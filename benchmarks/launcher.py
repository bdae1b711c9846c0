"""Run a command, print its resource usage, and exit with its exit code.

This is a separate script with few imports because on Linux a process inherits the peak memory of its parent.
"""

import os
import sys
import time


def launch(command: list[str]) -> int:
    """Print wall time and CPU time in seconds and peak resident memory in bytes. Return the exit code."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    started = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    print(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
