"""What can be asked for: architectures and methods by name, with limits and papers; no torch."""
