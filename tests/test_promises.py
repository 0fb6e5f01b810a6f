"""Every wire form of every game keeps the promises of L{tests.promises}."""

from __future__ import annotations

from gameservers.games import Carriage
from tests import promises
from tests.games.tictactoe import speaking as tictactoe
from tests.games.tilegame import speaking as tilegame
from tests.games.twister import speaking as twister
from tests.games.vcmi import speaking as vcmi
from tests.games.velnet import speaking as velnet

_kind: type[promises.Promises]
for _form in (*tictactoe.FORMS, *tilegame.FORMS, *twister.FORMS, *vcmi.FORMS, *velnet.FORMS):
    if _form.carriage is not Carriage.DATAGRAM:
        _kind = promises.StreamPromises
    elif getattr(_form, "stream", None) is not None:
        _kind = promises.DatagramPromises
    else:
        _kind = promises.DatagramLoginPromises
    _name = f"{_form.game} {_form.name}".title().replace(" ", "") + "Tests"
    globals()[_name] = type(_name, (_kind,), {"form": _form, "__module__": __name__})

del _kind  # which is no test case itself
