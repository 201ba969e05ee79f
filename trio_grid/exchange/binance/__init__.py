"""The client for Binance USD-M futures."""
