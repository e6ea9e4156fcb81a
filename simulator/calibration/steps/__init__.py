"""The referee of training runs: measured rows as cases, and what they took."""
