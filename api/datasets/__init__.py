"""Images with labels that can be trained on."""
