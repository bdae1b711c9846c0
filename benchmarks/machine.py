"""What the benchmarks ran on."""

import os
import platform


def facts() -> dict[str, str]:
    """CPU count, Python, operating system, and how busy the machine was before the first measure."""
    return {
        "CPUs": str(os.cpu_count()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(terse=True),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }
