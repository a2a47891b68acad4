"""One file per topic: `measure(quick) -> list[Row]`."""
