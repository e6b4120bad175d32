"""Makes drawings stand alone: pictures in Markdown have no page around them that gives a style."""


def stand_alone(drawing: str, style: str) -> str:
    """Give the drawing's `<svg>`, without a legend after it, as a file of its own.

    Args:
        drawing: Markup that begins with an `<svg>`.
        style: CSS that goes into it.
    """
    svg, _, _ = drawing.partition('<p class="legend"')
    head, _, body = svg.partition(">")
    opening = '<svg xmlns="http://www.w3.org/2000/svg" ' + head.removeprefix("<svg ")
    return f"{opening}><style>{style}</style>{body}\n"
