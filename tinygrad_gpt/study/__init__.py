"""Gradients to look at: an op worked out in numbers, and a training step watched op by op."""
