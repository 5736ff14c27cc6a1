"""What requests cost: prices that were given, or those of the package genai-prices."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Prices", "find_prices"]

_SAMPLE = 1000
"""Tokens whose price is looked up: below every threshold of prices that rise with length."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Linear prices.

    Parameters
    ----------
    call, token_in, token_out : float
        Of one request, one token sent and one received.
    known : bool
        Whether these are prices at all, and not zeros for lack of any.
    """

    call: float = 0.0
    token_in: float = 0.0
    token_out: float = 0.0
    known: bool = False

    def money(self, tokens_in: int, tokens_out: int) -> float:
        """Price of one request.

        Examples
        --------
        >>> Prices(token_in=0.25, token_out=0.5).money(tokens_in=4, tokens_out=2)
        2.0
        """
        return self.call + self.token_in * tokens_in + self.token_out * tokens_out


def find_prices(
    model: str, base_url: str | None, price_in: float | None, price_out: float | None
) -> Prices:
    """Take given prices per million tokens, or look them up; nothing is fetched.

    Where the package genai-prices is missing or knows neither address nor model, all prices are 0.

    Examples
    --------
    >>> find_prices("any", None, price_in=2.0, price_out=8.0).money(1_000_000, 0)
    2.0
    """
    if price_in is not None and price_out is not None:
        return Prices(0.0, price_in / 1e6, price_out / 1e6, known=True)
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return Prices()

    def total(tokens_in: int, tokens_out: int) -> float:
        usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out)
        if base_url is None:
            found = calc_price(usage, model, provider_id="openai")
        else:
            found = calc_price(usage, model, provider_api_url=base_url)
        return float(found.total_price)

    try:
        call = total(0, 0)
        sent, received = total(_SAMPLE, 0) - call, total(0, _SAMPLE) - call
    except (LookupError, ValueError):
        return Prices()
    return Prices(call, sent / _SAMPLE, received / _SAMPLE, known=True)
