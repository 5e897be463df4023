from tests.databinding.conftest import no_relay_left  # noqa: F401
