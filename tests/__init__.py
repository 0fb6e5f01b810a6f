"""The tests; what all of those with Hypothesis have in common is set here."""

from hypothesis import HealthCheck, settings

# A busy machine may stand still for a second in the middle of any example, and examples that
# failed in one checkout must not decide what another one tries.
settings.register_profile(
    "gameservers", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("gameservers")
