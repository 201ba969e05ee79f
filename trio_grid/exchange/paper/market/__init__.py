"""What the strangers on the exchange trade: synthetic markets and replays of recordings, as steps in time."""
