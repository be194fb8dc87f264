"""A start model as ONNX training artifacts: what a device trains from without torch."""

from xpert.trainers.export.exporter import OnnxExporter

__all__ = ["OnnxExporter"]
