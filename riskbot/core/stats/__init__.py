"""Statistics of prices and books: arrays in, numbers out.

No state, no book, no clock, and no library but numpy (decision 0022). What a number means for
limits, and where the histories come from, is said elsewhere.

Shapes, everywhere: `returns` is (t, n), the oldest day first, one column per underlying, NaN = no
return that day; `exposures_usd` is (n,), signed USD of delta; `pnl_usd` is (t,), what the exposures
of today would have made on each of those days. A loss is a positive number.
"""
