"""Examples of jobs for the OpenAPI document."""

from typing import Any

JSON = dict[str, Any]  # documents to show, hence Any

DISTILL_REQUEST: JSON = {
    "kind": "distill",
    "name": "mnist 1200x1200 to 800x800",
    "dataset": "dts_5x0c7q4n9w1r3t6y8zvk2m",
    "teachers": [{"model": "mdl_2m8x0c7q4n9w1r3t6y8zvk"}],
    "student": {"architecture": "mlp", "hidden": [800, 800]},
    "method": {"name": "logit_kd", "temperature": 20, "ce_weight": 0.1, "kd_weight": 0.9},
    "training": {"num_epochs": 60, "optimizer": {"name": "adam", "learning_rate": 0.001}},
    "control": True,
    "tags": {"team": "vision"},
}

TRAIN_REQUEST: JSON = {
    "kind": "train",
    "name": "a first teacher",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [256, 256]},
    "training": {"num_epochs": 30},
}

EVALUATE_REQUEST: JSON = {
    "kind": "evaluate",
    "name": "three students together",
    "dataset": "digits",
    "models": [
        {"model": "mdl_2m8x0c7q4n9w1r3t6y8zvk"},
        {"model": "mdl_7q4n9w1r3t6y8zvk2m8x0c"},
        {"model": "mdl_9w1r3t6y8zvk2m8x0c7q4n"},
    ],
    "average": "probabilities",
}

REQUESTS = (DISTILL_REQUEST, TRAIN_REQUEST, EVALUATE_REQUEST)

PROGRESS: JSON = {
    "fraction": 0.31,
    "run": "student",
    "training_stage": "training",
    "epoch": 37,
    "num_epochs": 60,
    "step": 17353,
    "num_steps": 28140,
    "images_per_second": 41200.0,
    "eta_seconds": 86.0,
    "loss": 0.0812,
    "accuracy": 0.9871,
}

JOB: JSON = {
    "id": "job_4kq2m8x0c7n9w1r3t6y8zv",
    "kind": "distill",
    "name": "mnist 1200x1200 to 800x800",
    "status": "running",
    "stage": "training",
    "progress": PROGRESS,
    "spec": DISTILL_REQUEST,
    "result": None,
    "error": None,
    "attempts": [
        {
            "number": 1,
            "worker": "worker-1",
            "device": "cuda:0",
            "started_at": "2026-07-01T12:00:01Z",
            "ended_at": None,
            "exit_cause": None,
            "resumed_from_step": None,
        }
    ],
    "tags": {"team": "vision"},
    "created_at": "2026-07-01T12:00:00Z",
    "started_at": "2026-07-01T12:00:01Z",
    "ended_at": None,
}

VALIDATION: JSON = {
    "spec": DISTILL_REQUEST,
    "teachers": [
        {
            "model": "mdl_2m8x0c7q4n9w1r3t6y8zvk",
            "parameters": 2_395_210,
            "flops": 4_785_600,
            "accuracy": 0.9933,
        }
    ],
    "models": [],
    "student": {"parameters": 1_276_810, "flops": 2_550_400},
    "network": None,
    "estimate": {
        "memory_bytes_at_least": 30_009_800,
        "checkpoint_copy_bytes": 15_321_720,
        "image_bytes": 54_880_000,
        "training_steps": 28_140,
        "training_seconds": 240.0,
    },
    "warnings": ["The memory that activations take is not counted."],
}

EVENT: JSON = {
    "number": 3,
    "type": "stage_entered",
    "data": {
        "attempt": 1,
        "stage": "training",
        "run": "student",
        "training_stage": "hint",
        "step": 0,
    },
    "created_at": "2026-07-01T12:00:02Z",
}

METRICS: JSON = {
    "series": [
        {"name": "loss", "run": "student", "steps": [0, 100], "values": [2.31, 0.42]},
    ]
}

LOG_LINE: JSON = {
    "number": 12,
    "attempt": 1,
    "level": "info",
    "message": "student: epoch 37 of 60, accuracy 0.9871",
    "created_at": "2026-07-01T12:01:10Z",
}

ARTIFACT: JSON = {
    "name": "student.onnx",
    "size_bytes": 5_107_911,
    "sha256": "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358",
    "media_type": "application/octet-stream",
    "url": "https://potstill.example/v1/jobs/job_4kq2m8x0c7n9w1r3t6y8zv/artifacts/student.onnx",
}

_SCORES: JSON = {
    "num_examples": 10_000,
    "num_errors": 74,
    "accuracy": 0.9926,
    "accuracy_top5": 0.9999,
    "per_class_accuracy": [0.995, 0.9902],
    "per_class_num_examples": [980, 1132],
    "confusion_matrix": [[978, 2], [3, 1129]],
    "most_confused": [{"label": 1, "predicted": 0, "num_examples": 3, "share": 0.0027}],
    "cross_entropy": 0.0291,
    "expected_calibration_error": 0.0041,
    "agreement": 0.9961,
    "kl_to_teacher": 0.0102,
}

REPORT: JSON = {
    "kind": "distill",
    "columns": {
        "student": {
            "splits": {"test": _SCORES},
            "parameters": 1_276_810,
            "megaflops": 2.5504,
            "size_bytes": 5_107_544,
            "latency": [],
        }
    },
    "difference": {
        "test": {
            "num_errors": -72,
            "accuracy": 0.0072,
            "cross_entropy": -0.0315,
            "expected_calibration_error": -0.0052,
        }
    },
    "evaluated_weights": "last_epoch",
    "class_names": ["0", "1"],
    "environment": {
        "device": "cpu",
        "device_name": "x86_64",
        "num_threads": 2,
        "precision": "float32",
        "seed": 0,
        "versions": {"potstill": "0.1.0"},
        "revision": None,
    },
}
