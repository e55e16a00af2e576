"""The values of ONNX's tensors."""

from __future__ import annotations

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.constant_folding import Array
from mrcnn_cv.importers.tensors import stored_value
from mrcnn_cv.importers.wire_format import Content

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


def tensor_value(tensor: pb.TensorProto, name: str, taken: Content | None = None) -> Array:
    """The value of a tensor; see `stored_value`."""
    if tensor.data_location == pb.TensorProto.EXTERNAL:
        # One file is what a user moves about; a second one would be a way to make us read any file there is.
        raise ModelFileError(
            f"keeps the constant '{name}' in another file, which is not supported: put the model into one file, with"
            " onnx.save_model(onnx.load('model.onnx'), 'one_file.onnx')"
        )
    fields = ("raw_data", _LISTS.get(tensor.data_type, "int32_data"))
    dtype = "bfloat16" if tensor.data_type == _Type.BFLOAT16 else DTYPES.get(tensor.data_type)
    return stored_value(name, tuple(tensor.dims), dtype, tensor, fields, taken)
