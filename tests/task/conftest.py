from hypothesis import settings

# Machines that run the tests may be busy: a slow example is no failure.
settings.register_profile("busy", deadline=None, max_examples=50)
settings.load_profile("busy")
