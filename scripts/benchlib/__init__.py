"""The parts of scripts/bench: standard library only, Python 3.9 or newer."""
