"""What an API key may do, judged against what its account's configuration accepts."""

from __future__ import annotations

from riskbot.core.events import KeyRightsChecked

_DAY_MS = 86_400_000
_EXPIRY_WARNED_DAYS = 14


def judge_rights(
    rights: KeyRightsChecked, *, allow_withdraw_keys: bool, now_ms: int
) -> tuple[list[str], list[str]]:
    """Return (faults, warnings) of a key's rights; faults stop the start.

    Args:
        rights: as the venue says them; None = it does not say.
        allow_withdraw_keys: `accounts.*.allow_withdraw_keys`.
        now_ms: for the key's expiry.
    """
    path = f"accounts.{rights.account}"
    faults, warnings = [], []
    for word, may in (("withdraw", rights.can_withdraw), ("transfer", rights.can_transfer)):
        if may and not allow_withdraw_keys:
            faults.append(
                f"{path}.api_key: the key may {word}: make one that may not, or set "
                "allow_withdraw_keys: true"
            )
        elif may:
            warnings.append(f"{path}.api_key: the key may {word} (allow_withdraw_keys: true)")
        elif may is None:
            warnings.append(f"{path}.api_key: the venue does not say whether the key may {word}")
    if rights.can_trade is False:
        warnings.append(f"{path}.api_key: the key may not trade: riskbot can watch, not act")
    if rights.can_trade is None:
        warnings.append(f"{path}.api_key: the venue does not say whether the key may trade")
    if rights.has_ip_list is False:
        warnings.append(f"{path}.api_key: the key has no IP list: bind it to this machine's IP")
    if rights.expires_ms is not None:
        days = (rights.expires_ms - now_ms) // _DAY_MS
        if days < _EXPIRY_WARNED_DAYS:
            warnings.append(f"{path}.api_key: the key expires in {max(days, 0)} days")
    return faults, warnings
