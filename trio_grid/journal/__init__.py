"""The durable record: every input that reached a decision, and every decision."""
