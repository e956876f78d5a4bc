r"""Patterns that several parts of the package write.

`NUMBER` goes into the value's group of suggested patterns and of presets.
"""

# A number as logs have it, 1. and .5 too, an exponent, and what diverged training prints. A full
# stop behind it is not taken: "final loss: 5.25."
NUMBER = r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|nan|inf)"
