"""One account's senses: what is seen becomes events, and silence is noticed by its own clocks."""

from riskbot.feed.feed import Feed, ListingExchange, stable_markets

__all__ = ["Feed", "ListingExchange", "stable_markets"]
