"""HTTP: orders of strategies, reads and commands of people and scripts, a stream of what happens.

`door` serves and guards the server, `orders`, `reads` and `stream` are its routes, `body` and
`models` say what is taken, `openapi` writes that down, `tokens` knows who asks, `parts` puts them
together for `app`. What an order or a command comes to is the core's business.
"""
