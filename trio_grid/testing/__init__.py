"""The public test kit: paper exchange fixtures, memory networks, seeded runs."""
