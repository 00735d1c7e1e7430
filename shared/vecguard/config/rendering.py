"""Writes the effective settings as a file that can be loaded again."""

import yaml

from vecguard.config.settings import Settings


def render(settings: Settings) -> str:
    """Returns YAML with every key. A secret is shown as `<redacted>`, an empty one as empty.

    Loading the text gives the same settings once the masked secrets are restored, in the file or in
    the environment. A mask is refused, so that it never becomes a password.
    """
    values = settings.model_dump(mode="json", by_alias=True)
    # Only ASCII: it can be loaded whatever the encoding of the terminal or pipe is.
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=False, default_flow_style=False)
