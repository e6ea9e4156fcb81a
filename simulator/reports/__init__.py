"""Results as tables, plots and timelines."""
