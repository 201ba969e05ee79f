"""The pure core: integers in, values out; no IO, clock, randomness, logging or trio."""
