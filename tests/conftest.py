"""What holds for every test, in whichever environment it runs."""

from collections.abc import Sequence

import pytest

from launcher.arguments import TEST_GROUPS


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Refuses a test without a group, or with two: the runner selects by group, so the first would never run.

    Raises:
        pytest.UsageError: names the test.
    """
    for item in items:
        groups = sorted({mark.name for mark in item.iter_markers()} & set(TEST_GROUPS))
        if len(groups) != 1:
            raise pytest.UsageError(f"{item.nodeid}: groups {groups}: mark it with one of {', '.join(TEST_GROUPS)}")
