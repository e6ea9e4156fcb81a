"""What a job asks of the machine: work and messages, no seconds."""
