"""What a browser sends of a page of the admin beside what somebody types: its hidden fields."""

import re
from html import unescape


def hidden(client, url):
    """The hidden fields of the page at this address, by name; what it knew of the rows, too."""
    page = client.get(url).content.decode()
    found = (re.findall(r'(\w+)="([^"]*)"', tag) for tag in re.findall("<input[^>]+>", page))
    inputs = [dict(attributes) for attributes in found]
    return {
        one["name"]: unescape(one.get("value", ""))
        for one in inputs
        if one.get("type") == "hidden" and one.get("name")
    }
