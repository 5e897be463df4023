from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.utils.html import format_html

from databinding.admin import LiveAdminMixin

from .models import Person, Step, Task

admin.site.unregister(User)
admin.site.register(Person)


@admin.register(User)
class LiveUserAdmin(LiveAdminMixin, UserAdmin):
    pass


class StepInline(admin.TabularInline):
    model = Step
    extra = 0


@admin.register(Task)
class TaskAdmin(LiveAdminMixin, admin.ModelAdmin):
    list_display = ["title", "done", "priority", "hours", "owner", "link", "shout"]
    list_editable = ["done", "priority", "hours"]
    list_filter = ["done"]
    search_fields = ["title"]
    filter_horizontal = ["helpers"]
    inlines = [StepInline]
    fieldsets = [
        (None, {"fields": ["title", "notes", ("done", "priority")]}),
        ("More", {"fields": ["hours", "due", "owner", "helpers", "extra", "paper"]}),
    ]

    def get_queryset(self, request):
        return super().get_queryset(request).exclude(title__startswith="secret")

    @admin.display(description="Link", empty_value="none")
    def link(self, task):
        if task.notes:
            return format_html('<a href="https://example.com/">{}</a>', task.notes)

    @admin.display(boolean=True)
    def shout(self, task):
        return task.title.isupper()
