"""From Hydra's config to runs and their settings."""
