"""The frames of a command's session: pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.sdk.frames import (
    SIGNALS,
    Channel,
    Command,
    Data,
    Resize,
    Signal,
    StdinClosed,
    packed,
    read_client,
    read_server,
    unpacked,
    written,
)


@given(st.sampled_from(list(Channel)), st.binary())
def test_data_comes_out_as_it_went_in(channel: Channel, data: bytes) -> None:
    assert unpacked(packed(channel, data)) == Data(channel, data)


@given(st.binary())
def test_any_bytes_are_data_or_refused(message: bytes) -> None:
    try:
        assert packed(unpacked(message).channel, unpacked(message).data) == message
    except ValueError:
        assert not message or message[0] > 2


@given(st.text())
def test_any_text_is_a_control_or_refused(text: str) -> None:
    for read in (read_client, read_server):
        try:
            control = read(text)
        except ValueError:
            continue
        assert type(control).__name__


@pytest.mark.parametrize(
    "control",
    [Command(argv=["ls", "-l"], env={"A": "b"}), StdinClosed(), Resize(3, 4), *(Signal(name) for name in SIGNALS)],
)
def test_a_control_of_a_client_comes_out_as_it_went_in(control: Command | StdinClosed | Resize | Signal) -> None:
    assert read_client(written(control)) == control
