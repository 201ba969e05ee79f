"""The loops that run in the supervisor's nursery, one class and one run() each."""
