"""Benchmarks of flux: `python -m benchmarks --help`. A missed target is reported and is not an error."""
