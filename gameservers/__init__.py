"""One Twisted process, five multiplayer games, one lobby."""

__version__ = "0.1.0"
