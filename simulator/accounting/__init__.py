"""What a step takes: memory of every pipeline stage, money, energy."""
