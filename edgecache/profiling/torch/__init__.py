"""The PyTorch backend: the named architectures at full or reduced scale, on the CPU or on CUDA."""
