from tests.faults.conftest import no_periodic_jobs  # noqa: F401
