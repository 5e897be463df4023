"""The admin of the values."""

import pytest
from django.urls import reverse

from tests.values.forms import hidden
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_value_is_edited_in_the_list(admin_client):
    """The change list edits values in place."""
    row = IntegerValue.objects.create(name="pump", value=1)
    url = reverse("admin:values_integervalue_changelist")
    form = {
        "form-TOTAL_FORMS": 1,
        "form-INITIAL_FORMS": 1,
        "form-0-id": row.pk,
        "form-0-value": 42,
        "_save": "Save",
    }
    assert admin_client.post(url, hidden(admin_client, url) | form).status_code == 302
    row.refresh_from_db()
    assert row.value == 42


def test_values_are_found_by_name(admin_client):
    """The search looks into the names."""
    IntegerValue.objects.create(name="pump")
    IntegerValue.objects.create(name="valve")
    url = reverse("admin:values_integervalue_changelist")
    listed = admin_client.get(url, {"q": "pum"}).context["cl"].queryset
    assert [row.name for row in listed] == ["pump"]


def test_a_value_reads_as_name_and_number(db):
    """A value is shown as what it is called and what it is."""
    assert str(IntegerValue(name="pump", value=3)) == "pump = 3"
