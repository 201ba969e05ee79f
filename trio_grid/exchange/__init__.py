"""Everything that speaks an exchange's protocol, on either side of the wire."""
