"""
Configuration: what can be set, where it is read, and what is said about it.

    - L{gameservers.config.vocabulary}: how a part declares an option;
    - L{gameservers.config.common}: the options that several games have;
    - L{gameservers.config.tree}: the command line over a TOML file over the defaults;
    - L{gameservers.config.command_line}: the command line and its help.
"""
