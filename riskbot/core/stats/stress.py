"""What a move of prices does to positions, pools of margin and losses: formulas, one by one.

Which move a scenario assumes, and of what, is said in `stressing`. A shock is a share of the USD
price (-0.6 = a fall by 60 %); PnL is USD, > 0 a gain.

Why one formula does for spot, linear and inverse. A coin is worth H*P: a shock s makes H*P*s.
A linear contract makes q*(P' - P): q*P*s. An inverse contract of face F (USD, signed) makes
F*(1/E - 1/P) coins since its entry E. With those and the collateral in the same coin, H coins in
all, the account is worth H*P; at P' = P*(1+s) it is worth (H + F/P - F/P')*P' = H*P' + F*s. So the
collateral with its unrealized profit is a leg of its own, linear in s as any coin is, and the
contract adds F*s: linear in USD, though curved in coins. Short F = -H*P, the sum is 0 for every s.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def scenario_pnl(shocks: FloatArray, exposures_usd: FloatArray) -> FloatArray:
    """Compute the PnL of every scenario at once.

    Args:
        shocks: shape (s, u), a scenario per row, an underlying per column.
        exposures_usd: shape (u,), signed delta.

    Returns:
        Shape (s,), USD.

    Raises:
        ValueError: shapes that do not fit, or a number that is not finite.
    """
    if shocks.ndim != 2 or exposures_usd.shape != shocks.shape[1:]:
        message = f"shocks {shocks.shape} do not fit exposures {exposures_usd.shape}"
        raise ValueError(message)
    pnl: FloatArray = shocks.dot(exposures_usd)
    # A number that is not finite anywhere shows in the sum, except at a shock of exactly nothing.
    if not math.isfinite(float(pnl.sum())) or not math.isfinite(float(exposures_usd.sum())):
        message = "a shock or an exposure is not finite"
        raise ValueError(message)
    return pnl


def position_pnl(delta_usd: float, shock: float, quote_shock: float = 0.0) -> float:
    """Compute the PnL of a coin, a linear or an inverse position.

    Args:
        delta_usd: signed notional.
        shock: of the underlying, in USD.
        quote_shock: of what the price is quoted in, in USD. The underlying keeps its own shock, so
            the quoted price becomes P*(1+s)/(1+d), and q*(P' - P) of the quote is worth
            q*P*(s - d) in USD. What was held in the quote before is cash, a leg of its own.
    """
    return delta_usd * (shock - quote_shock)


def quoted_move(shock: float, quote_shock: float) -> float:
    """Return the move of a price in its quote; inf where the quote is worth nothing any more."""
    if quote_shock <= -1:
        return math.inf
    if quote_shock == 0:
        return shock
    return (1 + shock) / (1 + quote_shock) - 1


def option_pnl(
    delta_usd: float,
    move: float,
    *,
    value_usd: float,
    gamma_usd: float | None = None,
    unit_usd: float | None = None,
) -> float:
    """Compute the PnL of an option by delta and gamma; vega and theta are left out.

    delta*m + gamma*m^2/2, kept within what no option can exceed: a long one loses its value at
    most and a short one gains it at most, and no option moves by more than its underlying does
    (abs(delta) <= 1 all the way).

    Args:
        delta_usd: signed, quantity * delta * S.
        move: of the underlying's price in its quote.
        value_usd: signed, quantity * mark.
        gamma_usd: signed, quantity * gamma * S^2, the change of `delta_usd` per move of 1 at a
            constant S; None = unknown: delta alone, which understates what a short one may lose.
        unit_usd: abs(quantity) * S; None = unknown: that bound is left out.
    """
    pnl = delta_usd * move + 0.5 * (gamma_usd or 0.0) * move * move
    if unit_usd is not None:
        most = unit_usd * abs(move)
        pnl = min(max(pnl, -most), most)
    return max(pnl, -value_usd) if value_usd >= 0 else min(pnl, -value_usd)


def option_pnls(
    delta_usd: FloatArray,
    moves: FloatArray,
    *,
    value_usd: FloatArray,
    gamma_usd: FloatArray,
    unit_usd: FloatArray,
) -> FloatArray:
    """Compute `option_pnl` of many options under many moves at once.

    Args:
        delta_usd: shape (m,).
        moves: shape (s, m), each option's underlying under each move.
        value_usd: shape (m,).
        gamma_usd: shape (m,), 0 = unknown.
        unit_usd: shape (m,), inf = unknown.

    Returns:
        Shape (s, m), USD.
    """
    pnl = delta_usd * moves + 0.5 * gamma_usd * moves * moves
    most = np.multiply(unit_usd, np.abs(moves), where=moves != 0, out=np.zeros_like(moves))
    pnl = np.clip(pnl, -most, most)
    is_long = value_usd >= 0
    held: FloatArray = np.where(is_long, np.maximum(pnl, -value_usd), np.minimum(pnl, -value_usd))
    return held


def isolated_pnls(pnl_usd: FloatArray, most_usd: FloatArray, is_hit: BoolArray) -> FloatArray:
    """Keep the PnL of isolated positions within their margin, which is all that can be lost.

    Args:
        pnl_usd: of the move alone.
        most_usd: what the margin that belongs to each now, its profit included, is worth after the
            move, >= 0.
        is_hit: the move reaches the liquidation price: nothing is taken to be left then.

    Returns:
        USD; all shapes are the same.
    """
    kept: FloatArray = np.where(is_hit, -most_usd, np.maximum(pnl_usd, -most_usd))
    return kept


def joint_move(
    exposures_usd: FloatArray,
    volatilities: FloatArray,
    *,
    correlation: float,
    sigmas: float,
    days: float = 1.0,
) -> FloatArray:
    """Find the likeliest joint move in which a book loses some of its own standard deviations.

    With volatility v_i and one correlation r of every pair, x_i = e_i*v_i and X = sum of x:
    the book's variance is V^2 = r*X^2 + (1-r)*sum of x_i^2, and the mean of a normal return i given
    that the book's is -k*V is -k*v_i*(r*X + (1-r)*x_i)/V. Those moves times the exposures sum to
    -k*V exactly. At r = 1 each price moves k*v_i, all against the book's net.

    Args:
        exposures_usd: shape (u,), signed delta.
        volatilities: shape (u,), per day, as fractions, >= 0.
        correlation: r, in (0, 1].
        sigmas: k, > 0.
        days: the move takes, > 0; volatility grows with their square root.

    Returns:
        Shape (u,), shocks; never below -1, where a price ends. All 0 for a book without variance.

    Raises:
        ValueError: shapes differ, or a number is not finite or out of range.
    """
    if exposures_usd.shape != volatilities.shape or exposures_usd.ndim != 1:
        message = f"exposures {exposures_usd.shape}, volatilities {volatilities.shape}"
        raise ValueError(message)
    is_known = np.isfinite(exposures_usd).all() and np.isfinite(volatilities).all()
    if not is_known or (volatilities < 0).any():
        message = "an exposure is not finite, or a volatility is not or below 0"
        raise ValueError(message)
    if not 0 < correlation <= 1 or not sigmas > 0 or not days > 0:
        message = f"correlation {correlation}, sigmas {sigmas}, days {days}: out of range"
        raise ValueError(message)
    swings = exposures_usd * volatilities
    total = float(swings.sum())
    squares = float(swings.dot(swings))
    deviation = math.sqrt(correlation * total**2 + (1 - correlation) * squares)
    if deviation == 0:
        return np.zeros_like(exposures_usd)
    pull = (correlation * total + (1 - correlation) * swings) / deviation
    moves: FloatArray = np.maximum(-sigmas * math.sqrt(days) * volatilities * pull, -1.0)
    return moves


def stop_pnl(notional_usd: float, risk_usd: float, slippage: float) -> float:
    """Compute the PnL of a position closed at its stops.

    Args:
        notional_usd: signed, at the present mark.
        risk_usd: what is lost down (or up) to the stops, >= 0.
        slippage: share of the stop's price that the close is worse by, >= 0.
    """
    left = abs(notional_usd) - math.copysign(risk_usd, notional_usd)
    return -(risk_usd + slippage * max(left, 0.0))


def is_liquidated(distance: float, move: float, *, is_long: bool) -> bool:
    """Tell whether a price moves to a position's liquidation price, or past it.

    Args:
        distance: abs(mark - liquidation price) / mark, now.
        move: of the price in its quote.
        is_long: it is liquidated by a fall, else by a rise.
    """
    return move <= -distance if is_long else move >= distance


def distance_after(distance: float, move: float, *, is_long: bool) -> float:
    """Return the distance to a standing liquidation price after a move; 0 = reached."""
    if is_liquidated(distance, move, is_long=is_long) or not math.isfinite(move):
        return 0.0
    at = 1 - distance if is_long else 1 + distance
    return abs(1 + move - at) / (1 + move)


def margin_ratio(
    maintenance_usd: float, equity_usd: float, gross_before: float, gross_after: float
) -> float:
    """Return maintenance margin over equity after a move; 1 = liquidation.

    Args:
        maintenance_usd: before; it moves with the gross notional it is for.
        equity_usd: of the pool, after.
        gross_before: of the pool, USD, >= 0.
        gross_after: the same after the move.

    Returns:
        inf where positions are left and no equity is.
    """
    if gross_before <= 0 or gross_after <= 0:
        return 0.0
    maintenance = maintenance_usd * gross_after / gross_before
    return maintenance / equity_usd if equity_usd > 0 else math.inf


def loss_after(loss: float, growth: float) -> float:
    """Return a loss since some start as a share of it, after equity moved once more.

    Args:
        loss: until now, (start - now)/start; negative = a gain.
        growth: equity after over equity now.
    """
    return 1 - (1 - loss) * growth
