r"""Patterns that several parts of the package write.

`NUMBER` goes into the value's group of suggested patterns and of presets.
"""

# Signs, digits and dots in any order as `[0-9.]+` has them, an exponent, and what diverged
# training prints. What the engine makes of 1.2.3 it reports as a reject.
NUMBER = r"[-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|nan|inf)"
