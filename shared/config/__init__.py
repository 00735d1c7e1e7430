"""One typed configuration for both services.

`load_settings` reads it, `render` shows it, `Settings` is it.
"""

from shared.config.loading import load_settings, settings_catalogue
from shared.config.rendering import render
from shared.config.security import TlsMode
from shared.config.settings import Settings

__all__ = ["Settings", "TlsMode", "load_settings", "render", "settings_catalogue"]
