"""Logs as events, and Prometheus metrics; neither holds what is spoken."""
