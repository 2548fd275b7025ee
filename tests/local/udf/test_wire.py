"""What went into the pipe comes out of it; what nobody put in by the rules is refused, and runs nothing."""

import json
import pickle
import socket
import struct
import threading

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from openeo_udf_fusion.local.udf import wire
from openeo_udf_fusion.local.udf.wire import Channel, Garbled, Unsendable, pack_cube, unpack_cube
from tests.local.graphs import make_cube


def through_a_pipe(message, max_bytes=None):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=Channel(theirs).send, args=(message,))
        sender.start()
        received = Channel(ours, lambda: None).receive(max_bytes)
        sender.join()
    return received


def arrives(*parts: bytes, max_bytes=10_000):
    """What a channel makes of bytes that somebody else wrote, who then leaves."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(b"".join(parts))
        return Channel(ours, lambda: None).receive(max_bytes)


def framed(head) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack(">Q", len(text)) + text


numbers = arrays.arrays(
    st.sampled_from(["<f4", ">f8", "i2", "u1", "?", "<M8[ns]", "m8[D]", "c8"]),
    arrays.array_shapes(min_dims=0),
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | numbers
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(values)
def test_every_value_comes_out_as_it_went_in(value):
    np.testing.assert_equal(through_a_pipe(value), value)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (), (3, 700_000)])
def test_arrays_keep_shape_and_dtype(shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    received = through_a_pipe(array)
    assert (received.shape, received.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(received, array)
    received += 1  # a UDF may write into it


def test_a_cube_keeps_its_labels_and_attributes():
    cube = make_cube(3, 4).drop_vars("spatial_ref")
    cube.attrs = {"t": pd.Timestamp("2020-01-05"), "flags": np.array([1, 2], np.int16), "n": np.float32(2)}
    cube = cube.assign_coords(quality=(("y", "x"), np.ones((3, 4))), sensor="modis")
    packed, left_out = pack_cube(cube)
    received = unpack_cube(through_a_pipe(packed))
    xr.testing.assert_identical(received, cube)
    assert received["bands"].dtype == cube["bands"].dtype
    assert left_out == []


def test_objects_of_other_classes_are_left_out():
    cube = make_cube(2, 2).assign_attrs(model=threading.Lock(), kept=1, nested={"x": [object()]})
    packed, left_out = pack_cube(cube)
    assert unpack_cube(through_a_pipe(packed)).attrs.keys() == {"kept"}
    assert left_out == ["model", "nested"]


def test_a_cube_of_numbers_in_objects_is_one_of_numbers():
    packed, _ = pack_cube(xr.DataArray(np.array([1.5, None], object), dims="x"))
    np.testing.assert_array_equal(packed["values"], np.float32([1.5, np.nan]))


def test_a_cube_of_text_is_refused():
    with pytest.raises(Unsendable, match="numbers"):
        pack_cube(xr.DataArray(["a", "b"], dims="x"))


class Evil:
    """Its pickle would call the function."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_runs_nothing(tmp_path):
    attack = pickle.dumps(Evil(tmp_path / "ran"))
    for sent in (
        attack,
        framed(attack),
        framed({"arrays": [len(attack)], "message": {"pickle": 0}}) + attack,
    ):
        with pytest.raises(Garbled):
            arrives(sent)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(struct.pack(">Q", 2**62), id="much text announced"),
        pytest.param(framed({"arrays": [2**62], "message": 1}), id="a large array announced"),
        pytest.param(framed({"arrays": [0] * 2000, "message": 1}), id="many arrays"),
        pytest.param(framed({"arrays": [-8], "message": 1}), id="a negative size"),
        pytest.param(framed({"arrays": [True], "message": 1}), id="a size that is no number"),
        pytest.param(framed({"arrays": {}, "message": 1}), id="no sizes"),
        pytest.param(framed([1, 2]), id="no object"),
        pytest.param(framed(b"[" * 100_000), id="deep"),
        pytest.param(framed(b"9" * 100_000), id="a long number"),
        pytest.param(framed(b"\xff\xfe"), id="no text"),
        pytest.param(framed({"arrays": [], "message": {"eval": "1"}}), id="an unknown kind"),
        pytest.param(framed({"arrays": [], "message": {}}), id="no kind"),
        pytest.param(framed({"arrays": [], "message": {"array": [[1], "<f4", 0]}}), id="no such array"),
        pytest.param(
            framed({"arrays": [8], "message": {"array": [[1], "O", 0]}}) + bytes(8), id="pointers to objects"
        ),
        pytest.param(
            framed({"arrays": [8], "message": {"array": [[1], "V8", 0]}}) + bytes(8),
            id="a dtype without meaning",
        ),
        pytest.param(
            framed({"arrays": [8], "message": {"array": [[2**40], "<f4", 0]}}) + bytes(8),
            id="too large a shape",
        ),
        pytest.param(
            framed({"arrays": [8], "message": {"array": [[-2], "<f4", 0]}}) + bytes(8), id="a negative shape"
        ),
        pytest.param(
            framed({"arrays": [], "message": {"labels": [[3000], ["x" * 10_000, *[""] * 2999]]}}),
            id="labels that numpy would blow up",
        ),
        pytest.param(framed({"arrays": [], "message": {"time": "never"}}), id="no time"),
        pytest.param(
            framed({"arrays": [], "message": {"dict": [[{"dict": []}, 1]]}}), id="an unhashable key"
        ),
    ],
)
def test_what_is_no_message_is_refused(sent):
    with pytest.raises(Garbled):
        arrives(sent)


def test_who_leaves_in_the_middle_is_gone():
    for sent in (b"", b"\0\0", framed({"arrays": [100], "message": 1}) + bytes(99)):
        with pytest.raises(EOFError):
            arrives(sent)


def test_who_sends_half_and_waits_keeps_nobody_waiting_for_ever():
    class Enough(Exception):
        pass

    def enough():
        raise Enough

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\0")
        with pytest.raises(Enough):
            Channel(ours, enough).receive()
        with pytest.raises(Enough):  # nor who never reads
            Channel(ours, enough).send(np.zeros(10_000_000))


def test_a_message_that_the_other_side_would_refuse_is_not_sent():
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Unsendable):
        Channel(ours).send("x" * (wire.MAX_TEXT_BYTES + 1))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"dims": ["y"]},
        {"dims": ["y", "x"], "values": np.zeros(3), "coords": {}, "attrs": {}, "name": None},
        {
            "dims": ["y"],
            "values": np.zeros(3),
            "coords": {"t": {"dims": ["q"], "values": 1}},
            "attrs": {},
            "name": 1,
        },
        {"dims": ["y"], "values": np.zeros(3), "coords": {}, "attrs": 3, "name": None},
    ],
)
def test_what_is_no_cube_is_refused(value):
    with pytest.raises(Garbled):
        unpack_cube(value)
