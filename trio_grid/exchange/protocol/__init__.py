"""Binance's wire protocol without IO, shared by the client and the paper exchange."""
