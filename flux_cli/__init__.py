"""flux: a command-line client for PiAPI's Flux API, and its Python interface."""

__version__ = "0.1.0"

TYPE_CHECKING = False  # importing `typing` takes longer than `flux --version`; type checkers recognize this name
if TYPE_CHECKING:
    from .engine.events import Event
    from .errors import (
        BudgetError,
        ConfigError,
        CreditsError,
        DiskError,
        FluxError,
        JournalError,
        KeyRefusedError,
        NetworkError,
        NotSavedError,
        PartialError,
        RefusedError,
        StillRunningError,
        TaskFailedError,
        UnknownChargeError,
        UsageError,
    )
    from .sdk.flux import AsyncFlux, Flux, Result

__all__ = [
    "AsyncFlux",
    "BudgetError",
    "ConfigError",
    "CreditsError",
    "DiskError",
    "Event",
    "Flux",
    "FluxError",
    "JournalError",
    "KeyRefusedError",
    "NetworkError",
    "NotSavedError",
    "PartialError",
    "RefusedError",
    "Result",
    "StillRunningError",
    "TaskFailedError",
    "UnknownChargeError",
    "UsageError",
]


def __getattr__(name: str) -> object:
    """Return a name of the Python interface, imported on first use: the command line needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = "errors" if name.endswith("Error") else "engine.events" if name == "Event" else "sdk.flux"
    return getattr(import_module(f".{home}", __name__), name)
