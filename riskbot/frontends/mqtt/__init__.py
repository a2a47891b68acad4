"""MQTT: one connection, the documents published over it, signed commands, orders of strategies.

`link` keeps the connection up, `documents` says what is published when, `commands` hears signed
messages, `orders` what strategies ask (`requests`: as it arrives), `parts` puts them together for
`app`. The alert channel of the same connection is `riskbot.channels.mqtt`.
"""
