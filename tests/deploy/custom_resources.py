"""The fields of other projects' resources that our manifests use, with their types.

From the definitions of the Prometheus Operator (`PodMonitor`, commit 6adcebc5) and of KEDA
(`ScaledObject`, commit 8b4f083c). What is not listed here is refused, so that a field
that is new in a manifest is looked up before it is used.
"""

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}
_DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(ms|[smhdwy]))+$"}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _some(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def _resource(kind: str, api_version: str, spec: Schema) -> Schema:
    return _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": api_version},
        kind={"const": kind},
        metadata=_object(("name",), name=_TEXT, labels=_LABELS),
        spec=spec,
    )


_ENDPOINT = _object(
    port=_TEXT,
    path={"type": "string", "pattern": "^/"},
    interval=_DURATION,
    authorization=_object(credentials=_object(("key",), name=_TEXT, key=_TEXT)),
)
_POD_MONITOR = _object(
    ("selector", "podMetricsEndpoints"),
    selector=_object(matchLabels=_LABELS),
    podMetricsEndpoints=_some(_ENDPOINT),
)

_SCALING_POLICY = _object(
    ("type", "value", "periodSeconds"),
    type={"enum": ["Pods", "Percent"]},
    value={"type": "integer", "minimum": 1},
    periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
)
_SCALING = _object(
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    policies=_some(_SCALING_POLICY),
)
_TRIGGER = _object(
    ("type", "metadata"),
    type={"const": "prometheus"},
    metricType={"enum": ["AverageValue", "Value"]},
    metadata=_object(
        ("serverAddress", "query", "threshold"),
        serverAddress={"type": "string", "pattern": "^https?://"},
        query=_TEXT,
        ignoreNullValues={"enum": ["true", "false"]},
        threshold={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
    ),
)
_SCALED_OBJECT = _object(
    ("scaleTargetRef", "triggers"),
    scaleTargetRef=_object(("name",), name=_TEXT),
    pollingInterval=_COUNT,
    cooldownPeriod=_COUNT,
    minReplicaCount=_COUNT,
    maxReplicaCount=_COUNT,
    fallback=_object(
        ("failureThreshold", "replicas"),
        failureThreshold=_COUNT,
        replicas=_COUNT,
        behavior={
            "enum": [
                "static",
                "currentReplicas",
                "currentReplicasIfHigher",
                "currentReplicasIfLower",
            ]
        },
    ),
    advanced=_object(
        horizontalPodAutoscalerConfig=_object(
            behavior=_object(scaleDown=_SCALING, scaleUp=_SCALING)
        )
    ),
    triggers=_some(_TRIGGER),
)

CUSTOM: dict[str, Schema] = {
    "PodMonitor": _resource("PodMonitor", "monitoring.coreos.com/v1", _POD_MONITOR),
    "ScaledObject": _resource("ScaledObject", "keda.sh/v1alpha1", _SCALED_OBJECT),
}
