"""`python -m aifeedback` is the command `aifeedback`."""

from aifeedback.cli.main import main

if __name__ == "__main__":
    main()
