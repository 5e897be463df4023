from django.contrib import admin

from .models import Message, Room


@admin.register(Room)
class RoomAdmin(admin.ModelAdmin):
    list_display = ["name", "label", "created"]
    search_fields = ["name", "label"]
    view_on_site = True


@admin.register(Message)
class MessageAdmin(admin.ModelAdmin):
    list_display = ["handle", "message", "room", "timestamp"]
    list_select_related = ["room"]
    date_hierarchy = "timestamp"
    search_fields = ["handle", "message", "room__label"]
    autocomplete_fields = ["room"]
    exclude = ["key"]
