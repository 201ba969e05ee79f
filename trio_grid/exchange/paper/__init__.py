"""The embedded exchange: real HTTP and WebSocket over any listener, with its own matching engine."""
