"""The words every room's tables are written in: one MetaData and the column types.

Each room declares its own tables in its own `tables.py` on `metadata`; this file declares none. Time is
UTC and aware or it is refused: a naive datetime is a bug of the caller that would show up months later.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_MONEY_UNIT = Decimal("1e-10")


class Moment(sa.types.TypeDecorator[datetime]):
    """A point in time, as `2030-01-31T12:00:00.000000Z`: sorts as text, reads without a tool."""

    impl = sa.String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else moment_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class Money(sa.types.TypeDecorator[Decimal]):
    """US dollars, kept as whole units of 1e-10 so that a sum in SQL is exact (up to 900 million dollars)."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else money_units(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value) * _MONEY_UNIT


def moment_text(value: datetime) -> str:
    """The stored form of a time. ValueError for a naive one."""
    if value.tzinfo is None:
        raise ValueError("a time without a time zone cannot be stored")
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def money_units(value: Decimal) -> int:
    """The stored form of an amount."""
    return int((value / _MONEY_UNIT).to_integral_value(ROUND_HALF_EVEN))
