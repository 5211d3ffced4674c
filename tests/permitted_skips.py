"""The reasons for which a test of this suite may be skipped; any other skip is a failure (see ``tests/conftest.py``)."""

import os
import re

# A pattern for what is said, and why that is no hole.
SKIPS = {
    "the real trained model .* is not beside this checkout": "models are laid next to the checkout in CI, and are in no package",
    "the package is installed without its (project|docs)": "an installed copy has no project to be compared with",
}
# On a developer's machine alone: .ci/setup installs it in CI.
_BROWSER = "chromium.*cannot be found"
_IN_CI = bool(os.environ.get("CI"))  # now: tests run as if outside of it


def is_permitted(reason: str) -> bool:
    """Whether a test may be skipped for a reason."""
    patterns = [*SKIPS, *([] if _IN_CI else [_BROWSER])]
    return any(re.search(pattern, reason) for pattern in patterns)
