"""Values of options."""

import argparse
import re

UNITS = {"": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9,
         "kib": 2**10, "mib": 2**20, "gib": 2**30}


def size(text):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)(?:/s)?", text.strip().lower())
    if not match or match[2] not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write it like 20MB/s")
    return int(float(match[1]) * UNITS[match[2]])


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
