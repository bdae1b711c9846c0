"""The environment variables that flux reads."""

from .settings import SETTINGS

VARIABLES = {
    "PIAPI_API_KEY": "API key; there is no option for it, because other users can see command lines",
    "FLUX_PROFILE": "profile in the config file",
    "FLUX_HOME": "one directory for configuration, journal and locks, instead of the system's default directories",
    **{setting.variable: setting.about for setting in SETTINGS},
    "FLUX_WEBHOOK_SECRET": "the webhook secret itself, instead of a file",
}
"""What each is for, the most important first."""
