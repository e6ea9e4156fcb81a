"""Links shared max-min fair in SimPy."""
