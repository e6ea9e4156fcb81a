"""What each axis of parallelism adds to a layer, one axis a file."""
