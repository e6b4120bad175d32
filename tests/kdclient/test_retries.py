"""Waits double, are jittered, and end."""

from kdclient.retries import RetryPolicy, may_repeat


class TestWaitSeconds:
    def test_waits_double_up_to_the_longest(self) -> None:
        policy = RetryPolicy(
            max_attempts=6, first_wait_seconds=1.0, longest_wait_seconds=5.0, jitter=lambda: 1.0
        )
        waits = [policy.wait_seconds(n, retry_after_seconds=None) for n in range(1, 7)]
        assert waits == [1.0, 2.0, 4.0, 5.0, 5.0, None]

    def test_jitter_takes_at_most_half(self) -> None:
        policy = RetryPolicy(first_wait_seconds=1.0, jitter=lambda: 0.0)
        assert policy.wait_seconds(1, retry_after_seconds=None) == 0.5

    def test_what_the_server_asks_for_is_waited(self) -> None:
        assert RetryPolicy().wait_seconds(1, retry_after_seconds=7.0) == 7.0

    def test_a_server_that_asks_for_too_long_is_given_up(self) -> None:
        policy = RetryPolicy(longest_wait_seconds=30.0)
        assert policy.wait_seconds(1, retry_after_seconds=3600.0) is None


class TestMayRepeat:
    def test_busy_answers_may_always_be_repeated(self) -> None:
        assert may_repeat(503, repeatable=False)
        assert may_repeat(429, repeatable=False)

    def test_a_gateway_that_gave_up_may_have_passed_the_request_on(self) -> None:
        assert not may_repeat(504, repeatable=False)
        assert may_repeat(504, repeatable=True)

    def test_refusals_are_final(self) -> None:
        assert not may_repeat(409, repeatable=True)
        assert not may_repeat(500, repeatable=True)
