"""The command line: one table, verb -> `module:function`. It is the map of the house."""
