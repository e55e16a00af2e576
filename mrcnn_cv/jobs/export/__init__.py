"""Write any model as ONNX nets and JSON, for other programs."""

from mrcnn_cv.jobs.export.model_folder import Exported, export

__all__ = ["Exported", "export"]
