"""How thoroughly the laws are checked: named Hypothesis settings, with every relevant field explicit.

    dev        25 cases, new ones every time, failures saved in a cache    (the default)
    ci         100 cases, the same every time
    thorough   2000 cases, new ones every time, failures saved
    mutants    100 cases, the same every time, no shrinking: only whether the law fails

They are the same as long as the code is: Hypothesis draws some numbers from the constants in imported modules.

The environment variable HYPOTHESIS_PROFILE names the default.
"""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tinygrad_gpt.laws.storage import examples_folder

# No deadline, since first calls may compile.  One finding at a time: two would be an exception group.  Quiet: the laws
# write their own message.
_COMMON: dict[str, Any] = {
    "deadline": None,
    "report_multiple_bugs": False,
    "print_blob": False,
    "verbosity": Verbosity.quiet,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
_SEARCH = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
_FIND_ONLY = (Phase.explicit, Phase.generate)
PROFILES: dict[str, dict[str, Any]] = {
    "dev": {"max_examples": 25, "derandomize": False, "phases": _SEARCH},
    "ci": {"max_examples": 100, "derandomize": True, "phases": _SEARCH},
    "thorough": {"max_examples": 2000, "derandomize": False, "phases": _SEARCH},
    "mutants": {"max_examples": 100, "derandomize": True, "phases": _FIND_ONLY},
}


def default_profile() -> str:
    """The profile named by HYPOTHESIS_PROFILE, else dev."""
    return os.environ.get("HYPOTHESIS_PROFILE", "dev")


def settings_for(profile: str | settings | None = None) -> settings:
    """Hypothesis's settings for one of PROFILES or a profile registered by the caller; settings are returned as they
    are.
    """
    if isinstance(profile, settings):
        return profile
    name = default_profile() if profile is None else profile
    if name in PROFILES:
        fields = PROFILES[name]
        # A derandomised run saves nothing: it finds the same failures again.
        database = None if fields["derandomize"] else DirectoryBasedExampleDatabase(examples_folder())
        return settings(**_COMMON, **fields, database=database)
    try:
        return settings.get_profile(name)
    except Exception:
        raise ValueError(
            f"profile must be one of {', '.join(PROFILES)} or registered with Hypothesis; got {name!r}"
        ) from None
