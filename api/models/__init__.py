"""Networks with weights that can teach."""
