"""One typed configuration for both services.

`load_settings` reads it, `render` shows it, `Settings` is it. Any part may import this package; it
knows no service. Begin at `settings.py`, then `loading.py`.
"""

from vecguard.config.loading import load_settings, settings_catalogue
from vecguard.config.rendering import render
from vecguard.config.security import TlsMode
from vecguard.config.settings import Settings

__all__ = ["Settings", "TlsMode", "load_settings", "render", "settings_catalogue"]
