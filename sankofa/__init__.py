"""What a user imports and types: `Client` and the `sankofa` command."""
