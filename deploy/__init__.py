"""What runs Potstill in production, and its servers on one machine."""
