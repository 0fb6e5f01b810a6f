"""The options, C{--dice-port} and so on."""

from __future__ import annotations

from dataclasses import dataclass

from gameservers.config import common
from gameservers.config.vocabulary import Listening


@dataclass(frozen=True, slots=True)
class DiceSettings:
    port: Listening = common.port(0)
    max_players: int = common.max_players(100)
    max_unread: int = common.max_unread(65_536)
    login_timeout: float = common.login_timeout(60)
    silence_timeout: float = common.silence_timeout(3600)
