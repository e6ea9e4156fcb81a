"""Communication simulator and cost model for large models; the Python interface is ``simulator.api``."""
