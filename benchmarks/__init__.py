"""What a step and a run cost on this machine."""
