"""How fast flux is, measured: `python -m benchmarks --help`. Targets are told, never enforced."""
