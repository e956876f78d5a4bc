"""`python -m metricsieve` is the command `metricsieve`."""

from metricsieve.cli import main

if __name__ == "__main__":
    main()
