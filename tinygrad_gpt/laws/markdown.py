"""Tables in Markdown."""


def escape_cell(cell: str) -> str:
    """Text that does not end a table's cell."""
    return cell.replace("|", "\\|")
