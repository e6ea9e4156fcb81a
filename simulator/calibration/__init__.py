"""Measured runs in, calibrated profiles out, and the referee that checks them."""
