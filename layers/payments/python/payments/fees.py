"""What the platform charges merchants, in integers of the currency's minor unit."""

from dataclasses import dataclass

_WHOLE = 10_000
"""Basis points of the whole: 290 are 2.90 %."""


class InvalidFeePlan(ValueError):
    """A fee is not an integer, is negative, or the percentage is more than the whole."""


@dataclass(frozen=True, slots=True)
class FeePlan:
    """The terms of one payment, fixed when it is accepted: a later change of the merchant's terms does not touch it.

    `basis_points` of the captured amount, `fixed` once per payment with its first capture, `dispute` for each dispute
    opened; the latter two in minor units of the payment's currency. Fees are kept when a payment is refunded.
    Raises `InvalidFeePlan`.
    """

    basis_points: int = 0
    fixed: int = 0
    dispute: int = 0

    def __post_init__(self) -> None:
        if any(
            isinstance(fee, bool) or not isinstance(fee, int) for fee in (self.basis_points, self.fixed, self.dispute)
        ):
            raise InvalidFeePlan("fees are integers: basis points and minor units")
        if not 0 <= self.basis_points <= _WHOLE or self.fixed < 0 or self.dispute < 0:
            raise InvalidFeePlan("fees are not negative, and the percentage is at most the whole")

    def of_capture(self, before: int, captured: int) -> int:
        """The fee of capturing this much when `before` was captured already.

        The percentage is taken of everything captured so far, rounded half up, less what was taken before: however a
        payment is split into captures, its fees add up to the fee of the whole.
        """
        percentage = self._percentage(before + captured) - self._percentage(before)
        return percentage + (self.fixed if before == 0 else 0)

    def _percentage(self, amount: int) -> int:
        return (amount * self.basis_points + _WHOLE // 2) // _WHOLE


NO_FEES = FeePlan()
"""The terms of a merchant who pays nothing."""
