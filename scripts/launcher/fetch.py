"""scripts/fetch_models."""

import argparse

from launcher.artefacts import Workshop, sources_here
from launcher.commands import say
from launcher.hub import HubModel, hub_models, profile_lines, released
from launcher.paths import Home
from launcher.profile import Profile
from launcher.run import server_environment_of, settled_profile


def fetch(options: argparse.Namespace, home: Home) -> int:
    """Everything that the profile names of the hub, and the released checkpoints of further languages."""
    profile = settled_profile(options.profile)
    further = further_models(profile, options.language)
    models = list(dict.fromkeys([*hub_models(profile, sources_here(profile)), *further]))
    if not models:
        say(f"Profile {options.profile} names nothing of the hub: nothing to fetch")
        return 0
    home.make()
    environment = server_environment_of(profile, home)
    say("Models")
    Workshop(home, environment).hub.fetch(models)
    for model in further:
        say(f"To serve {model.repository}, a profile says:\n{profile_lines(model)}")
    return 0


def further_models(profile: Profile, languages: list[str]) -> list[HubModel]:
    """The released checkpoints of languages that the profile does not speak.

    Raises:
        LaunchError: a language without one.
    """
    spoken = {language for choice in profile.checkpoints for language in choice.languages}
    return list(dict.fromkeys(released(language) for language in languages if language not in spoken))
