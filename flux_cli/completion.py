"""What the shell completes behind an option. The catalog is read only when it asks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .catalog import Catalog


def models(incomplete: str) -> list[str]:
    """Short names of models."""
    return _beginning([*_catalog().models, "auto"], incomplete)


def presets(incomplete: str) -> list[str]:
    """Names of presets."""
    return _beginning(list(_catalog().presets), incomplete)


def loras(incomplete: str) -> list[str]:
    """Names of LoRAs that were seen."""
    return _beginning(_catalog().loras, incomplete)


def controls(incomplete: str) -> list[str]:
    """Control types, with the = that a picture follows."""
    return _beginning([f"{kind}=" for kind in _catalog().controls], incomplete)


def _catalog() -> "Catalog":
    from .catalog import Catalog  # every command has these functions, and few ever call them

    return Catalog({})


def _beginning(words: list[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
