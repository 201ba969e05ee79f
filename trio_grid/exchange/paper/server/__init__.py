"""The exchange's server: connections, authentication, limits, routes and streams. No rule of trading is here."""
