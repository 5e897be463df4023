"""What a write journals."""

from databinding.models import JournalEntry


def journalled(write, *arguments):
    """Which rows a write journals, as sets of labels and keys."""
    before = JournalEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    write(*arguments)
    return {(one.model, one.key) for one in JournalEntry.objects.filter(id__gt=before)}
