"""Every wire form of every game keeps the promises of L{tests.promises}."""

from __future__ import annotations

from gameservers.games import Carriage
from tests import promises
from tests.games.tictactoe import speaking as tictactoe
from tests.games.tilegame import speaking as tilegame
from tests.games.twister import speaking as twister
from tests.games.vcmi import speaking as vcmi
from tests.games.velnet import speaking as velnet

for _form in (*tictactoe.FORMS, *tilegame.FORMS, *twister.FORMS, *vcmi.FORMS, *velnet.FORMS):
    _datagrams = _form.carriage is Carriage.DATAGRAM
    _kind = promises.DatagramPromises if _datagrams else promises.StreamPromises
    _name = f"{_form.game} {_form.name}".title().replace(" ", "") + "Tests"
    globals()[_name] = type(_name, (_kind,), {"form": _form, "__module__": __name__})

del _kind  # which is no test case itself
