"""The optimisation problem in its one form, and the proofs about its answers."""
