"""From a YAML file to one frozen, typed RunConfig; imports nothing heavy."""
