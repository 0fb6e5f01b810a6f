"""The command C{gameserver ...}: short for C{twistd --nodaemon --pidfile= gameserver ...}."""

import signal
import sys

from twisted.scripts import twistd


def main() -> None:
    """Run twistd in the foreground with the server and this command's arguments."""
    # Until the server has its own handlers, these would end the process with another status.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "gameserver", *sys.argv[1:]]
    twistd.run()


if __name__ == "__main__":
    main()
