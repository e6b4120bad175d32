"""Trainings and distillations: ask for them, watch them, read what they made."""
