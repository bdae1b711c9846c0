"""flux: a command-line client for PiAPI's hosted Flux image service."""

__version__ = "0.1.0"
