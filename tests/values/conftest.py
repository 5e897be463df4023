import pytest

from values.models import Description, Sample, Silence, Summary


@pytest.fixture
def no_past(transactional_db):
    """Emptying the tables after the test before deleted its values after their samples, which is
    something to be kept."""
    for model in (Sample, Description, Silence, Summary):
        model.objects.all().delete()
