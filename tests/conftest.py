"""What `tests/support` asserts is shown like what tests assert."""

import pytest

pytest.register_assert_rewrite("machine_driver", "page_layer", "verdicts")
