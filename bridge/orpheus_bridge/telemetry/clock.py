"""Time since a request arrived."""

import asyncio


def elapsed_ms(started_s: float) -> float:
    """Since `started_s` on the running loop's clock, to a tenth."""
    return round(1000 * (asyncio.get_running_loop().time() - started_s), 1)
