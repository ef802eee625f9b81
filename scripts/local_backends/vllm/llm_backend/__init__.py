"""vLLM behind the contract of Triton's vLLM backend."""
