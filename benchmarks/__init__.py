"""Benchmarks; each module prints its own table when run with ``python -m``."""
