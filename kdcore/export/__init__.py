"""Files that a finished job leaves: networks in three formats, reports, manifest, model card."""

from kdcore.export.exports import export_network
from kdcore.export.manifest_file import write_manifest
from kdcore.export.metrics_csv import write_metrics_csv
from kdcore.export.model_card import write_model_card
from kdcore.export.packages import check_packages
from kdcore.export.report_html import render_report, write_report_html
from kdcore.export.series import MetricSeries
from kdcore.export.weights import load_network, write_weights
from kdcore.manifest import Manifest, build_manifest, verify_manifest

__all__ = [
    "Manifest",
    "MetricSeries",
    "build_manifest",
    "check_packages",
    "export_network",
    "load_network",
    "render_report",
    "verify_manifest",
    "write_manifest",
    "write_metrics_csv",
    "write_model_card",
    "write_report_html",
    "write_weights",
]
