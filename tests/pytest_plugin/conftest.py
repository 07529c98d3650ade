"""A session of pytest that a test starts and looks at."""

import pytest

from inner_session import Session


@pytest.fixture
def session(pytester, monkeypatch):
    return Session(pytester, monkeypatch)
