"""What servers do now and then: settings.PERIODIC_JOBS."""

from values.samples.summaries import keep_up


def keep_samples():
    """Summarise samples and forget what is too old, well within a job's lease."""
    keep_up(budget=20.0)
