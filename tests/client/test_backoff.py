"""How long a client waits before it tries again."""

from hypothesis import given
from hypothesis import strategies as st

from databinding.client.backoff import Backoff
from databinding.client.options import Delays


@given(st.integers(0, 2000))
def test_delays_grow_to_their_limit_and_begin_anew(tries):
    """Each lies between the floor and a ceiling that doubles up to the cap; reset starts over."""
    delays = Delays(floor=0.1, base=0.5, cap=20)
    backoff = Backoff(delays)
    for number in range(tries):
        assert 0.1 <= backoff.next() <= min(20, 0.5 * 2 ** min(number, 10))
    backoff.reset()
    assert backoff.next() <= 0.5


def test_clients_do_not_come_all_at_once():
    """Delays of one step are spread over its whole range."""
    delays = Delays(floor=1, base=100, cap=100)
    waits = [Backoff(delays).next() for _ in range(1000)]
    assert min(waits) < 20
    assert max(waits) > 80
