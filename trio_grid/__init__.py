"""A grid-trading bot on Trio: one nursery, one state object, every order accounted for."""

__version__ = "0.1.0"
