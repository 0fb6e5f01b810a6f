"""The command C{gameserver ...}: short for C{twistd --nodaemon --pidfile= gameserver ...}."""

import sys

from twisted.scripts import twistd


def main() -> None:
    """Run twistd in the foreground with the server and this command's arguments."""
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "gameserver", *sys.argv[1:]]
    twistd.run()


if __name__ == "__main__":
    main()
