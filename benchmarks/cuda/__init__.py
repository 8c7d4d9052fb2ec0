"""The same comparison on an NVIDIA GPU: `python -m benchmarks --device cuda`."""
