"""What every service stands on.

`decision` and `service` are the words that a service is written in, `ports` what the engine knows of the outside, and
`run` puts all of it together.
"""
