"""Who works on what device, and how long the queue is."""
