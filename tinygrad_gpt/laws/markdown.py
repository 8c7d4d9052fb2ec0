"""Tables in Markdown."""


def escape_cell(cell: str) -> str:
    """Text in which | does not end a table cell."""
    return cell.replace("|", "\\|")
