"""The exchange's rules, pure: books, orders, accounts, margin, funding, and what they look like on the wire."""
