"""scripts/perf: NVIDIA's perf_analyzer against a running server, and what its callers had of it."""
