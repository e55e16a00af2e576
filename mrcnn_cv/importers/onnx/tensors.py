"""The values of ONNX's tensors, checked against their shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.onnx.constants import RAW
from mrcnn_cv.importers.wire_format import Content

MAX_AXES = 16

_Type = pb.TensorProto.DataType

DTYPES: dict[int, str] = {
    _Type.FLOAT: "<f4",
    _Type.UINT8: "|u1",
    _Type.INT8: "|i1",
    _Type.UINT16: "<u2",
    _Type.INT16: "<i2",
    _Type.INT32: "<i4",
    _Type.INT64: "<i8",
    _Type.BOOL: "|b1",
    _Type.FLOAT16: "<f2",
    _Type.DOUBLE: "<f8",
    _Type.UINT32: "<u4",
    _Type.UINT64: "<u8",
    _Type.BFLOAT16: "<u2",
}

_LISTS: dict[int, str] = {
    _Type.FLOAT: "float_data",
    _Type.DOUBLE: "double_data",
    _Type.INT64: "int64_data",
    _Type.UINT32: "uint64_data",
    _Type.UINT64: "uint64_data",
}
"""Where a type's values are listed one by one; `int32_data` for all others, of halves the bits."""


def tensor_value(tensor: pb.TensorProto, name: str, taken: Content | None = None) -> NDArray[np.generic]:
    """The value of a tensor as an array of its own type; raises ModelFileError where data and shape disagree.

    taken: what was taken out of the tensor. Values that lie as bytes are not copied (bfloat16 is), and may be
    unaligned.
    """
    if tensor.data_location == pb.TensorProto.EXTERNAL:
        # One file is what a user moves about; a second one would be a way to make us read any file there is.
        raise ModelFileError(
            f"keeps the constant '{name}' in another file, which is not supported: put the model into one file, with"
            " onnx.save_model(onnx.load('model.onnx'), 'one_file.onnx')"
        )
    if tensor.data_type not in DTYPES:
        raise ModelFileError(f"has a constant '{name}' of a type that is not supported ({tensor.data_type})")
    shape = tuple(tensor.dims)
    if len(shape) > MAX_AXES or min(shape, default=0) < 0:
        raise ModelFileError(f"has a constant '{name}' of the shape {list(shape)[:MAX_AXES]}, which cannot be")
    count = 1
    for side in shape:
        count *= side
    dtype = np.dtype(DTYPES[tensor.data_type])
    is_list = taken is not None and taken.field != RAW
    raw = b"" if is_list else tensor.raw_data if taken is None else taken.data
    if raw or count == 0:
        if len(raw) != count * dtype.itemsize:
            raise ModelFileError(
                f"has a constant '{name}' with {len(raw)} bytes where its shape {list(shape)} needs"
                f" {count * dtype.itemsize}"
            )
        value: NDArray[np.generic] = np.frombuffer(raw, dtype=dtype)
    else:
        value = _listed(tensor, name, taken if is_list else None, dtype, count)
    if tensor.data_type == _Type.BFLOAT16:
        # The upper half of a float32.
        value = (value.astype(np.uint32) << 16).view(np.float32)
    return value.reshape(shape)


def _listed(
    tensor: pb.TensorProto, name: str, taken: Content | None, dtype: np.dtype[np.generic], count: int
) -> NDArray[np.generic]:
    field = _LISTS.get(tensor.data_type, "int32_data")
    values = getattr(tensor, field)
    if taken is not None and taken.field == pb.TensorProto.DESCRIPTOR.fields_by_name[field].number:
        # Of numbers of a fixed size, a list lies as they do in memory.
        values = np.frombuffer(taken.data, dtype=dtype)
    if len(values) != count:
        raise ModelFileError(f"has a constant '{name}' that lists {len(values)} values for a shape of {count}")
    if isinstance(values, np.ndarray):
        return values
    stored = np.dtype(np.uint16) if tensor.data_type == _Type.FLOAT16 else dtype
    numbers = np.array(values, dtype=np.uint64 if stored == np.uint64 else None)
    if stored.kind in "iu":
        bounds = np.iinfo(stored.name)
        if not bounds.min <= numbers.min() <= numbers.max() <= bounds.max:
            raise ModelFileError(f"has a constant '{name}' that lists a value that its type cannot hold")
    result: NDArray[np.generic] = numbers.astype(stored).view(dtype)
    return result
