"""MQTT: one connection, the documents that are published over it, commands that are signed.

`link` keeps the connection up, `documents` says what is published when, `commands` hears signed
messages, `parts` puts them together for `app`. The alert channel of the same connection is
`riskbot.channels.mqtt`.
"""
