"""AI feedback for alignment: response pairs in, labels a trainer can trust out."""

__version__ = "0.1.0"
