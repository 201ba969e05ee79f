"""What holds for all tests: how Hypothesis searches.

No deadline per example: a busy machine is no fault of the code. Where CI is set the search is the same each time, so
that a red run can be repeated; elsewhere it is new each time, and finds more.
"""

import os

from hypothesis import settings

settings.register_profile("search", deadline=None)
settings.register_profile("repeat", deadline=None, derandomize=True, database=None)
settings.load_profile("repeat" if os.environ.get("CI") else "search")
