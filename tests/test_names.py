"""Every name that an option had before all games named theirs alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from gameservers.config.command_line import options_for
from gameservers.config.tree import Known, Setting, load, toml
from gameservers.games import IGame

#: Names that have stayed.
SAME = """
    port interface logging log-format tls-cert tls-key tls-only max-connections max-per-address
    first-byte-timeout login-timeout trusted database database-timeout database-queue
    database-batch database-backoff tictactoe-port
    tictactoe-origins tictactoe-login-timeout tictactoe-account-lifetime
    tictactoe-session-lifetime tictactoe-temporary-lifetime tictactoe-match-lifetime
    tictactoe-timeout-elo tictactoe-password-cost tictactoe-password-threads tilegame-port
    tilegame-tps tilegame-max-players tilegame-seed tilegame-theme tilegame-size
    tilegame-new-world tilegame-reach tilegame-break-rate tilegame-break-burst
    tilegame-max-speed tilegame-silence-timeout tilegame-max-connections
    tilegame-stop-when-empty twister-port twister-chat-size twister-chat-members-only
    twister-map-seed twister-console twister-admin-key-file twister-hide-addresses
    twister-trusted vcmi-login-timeout vcmi-max-name vcmi-max-chat vcmi-pipe-lifetime
    velnet-port velnet-generation velnet-room-size velnet-login-timeout velnet-quiet-timeout
    velnet-max-line velnet-max-name velnet-any-address velnet-wide-groups
"""

#: Names that are other ones now, and those.
RENAMED = dict(
    line.split()
    for line in """
    max-strangers                        max-pending-logins
    tictactoe-capacity                   tictactoe-max-players
    tictactoe-connections                tictactoe-max-connections
    tictactoe-sockets                    tictactoe-max-per-player
    tictactoe-matches                    tictactoe-max-matches
    tictactoe-message                    tictactoe-max-message
    tictactoe-unread                     tictactoe-max-unread
    tictactoe-ping                       tictactoe-ping-interval
    tictactoe-attempts                   tictactoe-login-attempts
    tictactoe-address-attempts           tictactoe-login-attempts-per-address
    tictactoe-new-names                  tictactoe-new-names-per-address
    tilegame-save-every                  tilegame-save-interval
    tilegame-handshake-timeout           tilegame-login-timeout
    tilegame-packet-rate                 tilegame-max-rate
    tilegame-write-behind                tilegame-max-unread
    tilegame-max-connections-per-address tilegame-max-per-address
    twister-max-conns                    twister-max-players
    max_conns                            twister-max-players
    chat_size                            twister-chat-size
    twister-timeout                      twister-silence-timeout
    twister-reply-bytes                  twister-max-reply
    twister-request-bytes                twister-max-message
    twister-text-length                  twister-max-chat
    twister-nick-length                  twister-max-name
    twister-address-rate                 twister-max-rate-per-address
    twister-address-burst                twister-max-burst-per-address
    twister-total-rate                   twister-max-rate
    twister-total-burst                  twister-max-burst
    capacity                             vcmi-max-players
    healthcheck                          vcmi-ping-interval
    vcmi-max-frame                       vcmi-max-message
    vcmi-max-pending                     vcmi-max-unread
    auth                                 velnet-auth
    velnet-clients                       velnet-max-players
    velnet-timeout                       velnet-silence-timeout
    max-pending                          velnet-max-unread
    velnet-max-data                      velnet-max-message
""".strip().splitlines()
)

#: Names of what cannot be set any more.
GONE = """
    max-first-bytes database-world database-original-zone
    tictactoe-visible
    tictactoe-backlog tictactoe-bad-messages tictactoe-sweep tictactoe-pause
    tictactoe-longest-pause tictactoe-forget tictactoe-attempt-keys tictactoe-password-queue
    tilegame-farewell tilegame-max-odd-packets tilegame-read-ahead twister-stale
    twister-request-nesting twister-player-data-members twister-player-data-bytes
    twister-log-lines twister-log-line-length twister-sources vcmi-max-commands vcmi-max-mods
    vcmi-max-early vcmi-max-pipes velnet-max-groups velnet-max-group velnet-max-datagrams
"""


class OldNamesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.games = [
            game for game in getPlugins(IGame) if type(game).__module__.startswith("gameservers.")
        ]

    def other(self, setting: Setting) -> Any:
        """A value that is allowed and is not the default."""
        if setting.type is bool:
            return not setting.default
        if isinstance(setting.default, int | float):
            most = setting.option.maximum
            return setting.default + (-1 if setting.default == most else 1)
        if setting.option.choices:
            return next(each for each in setting.option.choices if each != setting.default)
        return {
            "interface": "::1",
            "velnet-auth": ["memory:a:b"],
            "trusted": ["192.0.2.0/24"],
            "twister-trusted": ["192.0.2.0/24"],
            "tictactoe-origins": ["https://games.example.org"],
            "tilegame-theme": "hell",
            "tilegame-size": "large",
        }.get(setting.name, "text")

    def test_each_is_an_option(self) -> None:
        """On the command line, as a plain word and in a file, and never unknown."""
        known = Known(self.games)
        for old, new in ({each: each for each in SAME.split()} | RENAMED).items():
            setting = known.names[new]
            value = self.other(setting)
            said = ",".join(value) if isinstance(value, list) else str(value)
            file = Path(self.mktemp())
            file.write_text(f"{old.replace('-', '_')} = {toml(value)}")
            dashed = f"--{old}={said}"
            if setting.type is bool:
                dashed, said = f"--{'' if value else 'no-'}{old}", said.lower()
            spelled = [load(self.games, {}, str(file))]
            for argument in (dashed, f"{old}={said}"):
                options = options_for(self.games)
                options.parseOptions([argument])
                spelled.append(options.config)
            wanted = setting.accept(value, "")
            self.assertEqual([config.values[new][1] for config in spelled], [wanted] * 3, old)

    def test_each_that_is_gone_is_answered(self) -> None:
        for old in GONE.split():
            file = Path(self.mktemp())
            file.write_text(f"{old.replace('-', '_')} = 1")
            error = self.assertRaises(UsageError, load, self.games, {}, str(file))
            start = f"{old} in {file} is no longer an option: "
            self.assertTrue(str(error).startswith(start), str(error))
            for argument in (f"--{old}=1", f"--{old}", f"{old}=1"):
                error = self.assertRaises(
                    UsageError, options_for(self.games).parseOptions, [argument]
                )
                self.assertRegex(str(error), rf"^{old} is no longer an option: .*\.$")

    def test_those_of_the_old_proxy_server(self) -> None:
        options = options_for(self.games)
        options.parseOptions(["logging=debug", "port=5003", "capacity=20", "healthcheck=0"])
        vcmi = options.config.games["vcmi"]
        self.assertEqual(
            (options.config.server.logging, options.config.server.port), ("debug", 5003)
        )
        self.assertEqual((vcmi.max_players, vcmi.ping_interval), (20, 0))

    def test_printed_configuration(self) -> None:
        """It can be read back, whatever the games declare."""
        config = load(self.games, {"capacity": "7", "tls-only": "true"})
        file = Path(self.mktemp())
        file.write_text("\n".join(config.lines()), encoding="utf-8")
        again = load(self.games, {}, str(file))
        self.assertEqual(again.values, config.values)

    def test_every_common_name_means_the_same(self) -> None:
        """What two games name alike has the same unit."""
        units: dict[str, dict[str, str]] = {}
        for part in Known(self.games).parts:
            for setting in part.settings():
                units.setdefault(setting.field, {})[part.title] = setting.option.unit
        for field, by_part in units.items():
            # Characters or bytes; bytes or packets; connections at the door, players in a game.
            if field not in ("max_name", "max_rate", "max_per_address"):
                self.assertEqual(len(set(by_part.values())), 1, (field, by_part))
