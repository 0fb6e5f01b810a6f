"""
Configuration: the declaration of options, and reading them.

    - L{gameservers.config.vocabulary}: how a part declares an option;
    - L{gameservers.config.common}: the options that several games have;
    - L{gameservers.config.tree}: the command line over a TOML file over the defaults;
    - L{gameservers.config.command_line}: the command line and its help.
"""
