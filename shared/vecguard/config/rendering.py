"""The effective settings as a file that could be loaded again."""

import yaml

from vecguard.config.settings import Settings


def render(settings: Settings) -> str:
    """YAML with every key. A secret that is set shows as `<redacted>`, an empty one as empty.

    Loading the text gives the same settings once the masked secrets are written in again, or
    set in the environment; a mask is refused, so that it never becomes somebody's password.
    """
    values = settings.model_dump(mode="json", by_alias=True)
    # Only ASCII: it can be loaded again whatever the encoding of the terminal or pipe is.
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=False, default_flow_style=False)
