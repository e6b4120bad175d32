"""`potstill methods`: what a student can learn by."""

from kdclient.cli import options
from kdclient.cli.options import connect
from kdclient.cli.tables import print_table
from kdclient.resources import Method


def methods(url: options.Url = None, api_key: options.ApiKey = None) -> None:
    """List the methods: how many teachers each takes, its stages and its fields."""
    with connect(url, api_key) as client:
        rows = [_row(method) for method in client.methods()]
    print_table(("name", "teachers", "stages", "fields", "title"), rows)


def _row(method: Method) -> tuple[str, ...]:
    fewest, most = method.needs.min_teachers, method.needs.max_teachers
    teachers = str(most) if fewest == most else f"{fewest}-{most}"
    fields = [name for name in method.json_schema.get("properties", {}) if name != "name"]
    return method.name, teachers, ", ".join(method.stages), ", ".join(fields), method.title
