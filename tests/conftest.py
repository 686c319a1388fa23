"""For all tests: no assertion on speed, so hypothesis sets no deadline either."""

from hypothesis import settings

settings.register_profile("project", deadline=None)
settings.load_profile("project")
