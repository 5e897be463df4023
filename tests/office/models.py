"""What an office keeps in its admin: every kind of field that a form can edit."""

from django.db import models


class Person(models.Model):
    name = models.CharField(max_length=40)

    def __str__(self):
        return self.name


class Task(models.Model):
    class Priority(models.IntegerChoices):
        LOW = 1
        HIGH = 2

    title = models.CharField(max_length=40, unique=True)
    notes = models.TextField(blank=True)
    done = models.BooleanField(default=False)
    priority = models.IntegerField(choices=Priority, default=Priority.LOW)
    hours = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True)
    due = models.DateTimeField(null=True, blank=True)
    owner = models.ForeignKey(Person, models.SET_NULL, null=True, blank=True)
    helpers = models.ManyToManyField(Person, related_name="+", blank=True)
    extra = models.JSONField(default=dict, blank=True)
    paper = models.FileField(upload_to="papers", blank=True)

    class Meta:
        ordering = ["title"]

    def __str__(self):
        return self.title


class Step(models.Model):
    task = models.ForeignKey(Task, models.CASCADE, related_name="steps")
    text = models.CharField(max_length=40)

    def __str__(self):
        return self.text


class Unbound(models.Model):
    name = models.CharField(max_length=40)

    def __str__(self):
        return self.name
