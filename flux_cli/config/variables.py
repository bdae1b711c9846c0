"""The environment variables that flux reads, and what each is for."""

from .settings import SETTINGS

VARIABLES = {
    "PIAPI_API_KEY": "the key; no option takes one, for others could see it",
    "FLUX_PROFILE": "the profile in the config file",
    "FLUX_HOME": "one folder for configuration, journal and locks, instead of the platform's places",
    **{setting.variable: setting.about for setting in SETTINGS},
    "FLUX_WEBHOOK_SECRET": "the secret itself, instead of a file",
}
"""Every one, the most important first."""
