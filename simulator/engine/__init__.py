"""Step graphs and collectives replayed on fabrics, with events or by closed form."""
