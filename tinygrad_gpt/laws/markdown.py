"""Tables in Markdown."""


def escaped(cell: str) -> str:
    """Text that does not end a table's cell."""
    return cell.replace("|", "\\|")
