"""The Telegram process: aiogram on one side, the guard's socket on the other, no exchange key.

Importing this package loads nothing; `python -m riskbot.frontends.telegram` is the process.
"""
