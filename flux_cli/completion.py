"""What the shell completes behind an option. The catalog is read only when it asks."""

from .catalog import Catalog


def models(incomplete: str) -> list[str]:
    """Short names of models."""
    return _beginning([*Catalog({}).models, "auto"], incomplete)


def presets(incomplete: str) -> list[str]:
    """Names of presets."""
    return _beginning(list(Catalog({}).presets), incomplete)


def loras(incomplete: str) -> list[str]:
    """Names of LoRAs that were seen."""
    return _beginning(Catalog({}).loras, incomplete)


def controls(incomplete: str) -> list[str]:
    """Control types, with the = that a picture follows."""
    return _beginning([f"{kind}=" for kind in Catalog({}).controls], incomplete)


def _beginning(words: list[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
