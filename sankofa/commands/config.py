"""`sankofa config`: which service is used, and where that is said."""

from __future__ import annotations

import click

from sankofa.address import find, shown
from sankofa.commands.options import as_json, write_json
from sankofa.profiles import config_path, profile_names


@click.command()
@click.option("--profile", help="As if commands were given this one.")
@as_json
def config(profile: str | None, as_json: bool) -> None:
    """Show which service and key are used, and who says so.

    \b
    Options go before the environment (SANKOFA_URL, SANKOFA_API_KEY,
    SANKOFA_PROFILE), that before ~/.config/sankofa/config.toml:
      profile = "work"
      [profiles.work]
      url = "https://training.example.org"
      api_key_file = "~/keys/training"
    """
    found, names, path = find(profile=profile), profile_names(), config_path()
    if as_json:
        sources = {"url_source": found.url_source, "key_source": found.key_source}
        write_json({"url": shown(found.url), "has_key": found.key is not None, **sources, "config_path": str(path), "profiles": names})
        return
    click.echo(f"service   {shown(found.url)}\n          from {found.url_source}")
    click.echo(f"key       {'found, from ' + found.key_source if found.key else 'none found'}")
    click.echo(f"file      {path}{'' if path.exists() else ', which does not exist'}")
    if names:
        click.echo(f"profiles  {', '.join(names)}")
