"""`potstill datasets`: what can be trained on."""

from kdclient.cli import options
from kdclient.cli.options import connect
from kdclient.cli.tables import print_table
from kdclient.resources import Dataset


def datasets(url: options.Url = None, api_key: options.ApiKey = None) -> None:
    """List datasets, the built-in ones included."""
    with connect(url, api_key) as client:
        rows = [_row(dataset) for dataset in client.datasets()]
    print_table(("id", "status", "image", "classes", "images", "name"), rows)


def _row(dataset: Dataset) -> tuple[str, ...]:
    shape = dataset.image
    image = f"{shape.channels}x{shape.height}x{shape.width}" if shape else "–"
    classes = str(len(dataset.class_names)) if dataset.class_names else "–"
    counts = ", ".join(f"{k} {v.num_examples:,}" for k, v in (dataset.splits or {}).items())
    return dataset.id, dataset.status, image, classes, counts or "–", dataset.name
