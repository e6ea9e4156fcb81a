"""The same work done by others, each beside the engine in the same call."""
