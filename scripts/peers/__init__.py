"""What bench_peers compares this stack with: the same language model and decoder in one process, without Triton."""
