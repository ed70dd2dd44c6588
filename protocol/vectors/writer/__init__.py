"""The second writer of the protocol's formats: it knows SPEC.md and shares no code with the packages it is held against."""
