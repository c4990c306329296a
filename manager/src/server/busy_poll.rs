//! Polling for a moment after an answer, for a peer that tends to send its next request at once.
//!
//! A sleeping core takes tens of microseconds to wake, above all on a virtual machine: more than everything else that a
//! request costs. So the event loop polls for the next request of such a peer before it sleeps, for about as long as
//! waking takes.
//!
//! If the peer shares the loop's core, polling is in vain, and worse: while the loop polls, the peer cannot run until
//! the scheduler moves it to another core, where its calls take longer. The loop recognizes such a peer when it comes
//! back after a sleep too soon for a core to have woken, and does not poll for it. And since the scheduler tends to
//! bring together processes that wake each other, the loop polls for a peer only when that has not happened for a
//! while.

use std::ops::Range;
use std::time::Duration;

use manager_core::Time;

use super::clock::nanoseconds;

/// How long to poll: about as long as waking a core takes. So polling costs at most twice as much as the better of
/// polling and sleeping.
pub(crate) const POLL_TIME: Duration = Duration::from_nanos(POLL_TIME_NS.cast_unsigned());
/// The same in nanoseconds, as the allowance counts them.
const POLL_TIME_NS: i64 = 50_000;

/// How long after its answer, from turn to turn, a peer that is worth polling for comes back if the loop has slept
/// meanwhile. An earlier peer needed no core to wake; a later one would not have come in time.
const SLEPT_FOR: Range<Duration> = Duration::from_micros(25)..Duration::from_micros(120);

/// Polls in vain take at most one part in this many of the time, for all peers together, in the long run.
const IN_VAIN: u64 = 200;

/// How much of that time the loop can save up, in nanoseconds.
const ALLOWANCE_NS_MAX: i64 = 1_000_000;

/// After this many polls in a row the loop sleeps if nothing is ready, so that a process that waits for its core can
/// run.
const IN_A_ROW_MAX: u8 = 8;

/// How many more returns worth polling for than others a peer needs before the loop polls for it. A peer that sends
/// only a few requests never gets there, and the scheduler has time to separate the two.
const RETURNS: u8 = 16;

/// Each poll in vain doubles that number, up to this many times.
const MISSES_MAX: u8 = 3;

/// How soon a peer tends to come back after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerTiming {
    /// How often it came back in time for polling to be worth it, less how often it did not; no more than is wanted.
    returns: u8,
    /// How often in a row the loop polled for it in vain.
    misses: u8,
    /// Whether it came during the last poll for it. Then the loop polls for it even if the allowance is used up, since
    /// what others waste is not its fault. A poll in vain still counts, so each peer can cause one.
    is_trusted: bool,
}

/// What a poll for a peer has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollOutcome {
    /// The peer came back.
    Came,
    /// Nothing came until the time was over.
    Missed,
    /// Another peer came first, or something was ready to begin with. It was as good to be awake for that, so the poll
    /// was not in vain.
    Interrupted,
}

/// Decides when to poll.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    /// How long the loop may still poll in vain, in nanoseconds; below zero if it already polled too long.
    allowance_ns: i64,
    /// The time up to which the allowance was counted.
    counted_until: Time,
    /// How many polls there were since the loop slept last.
    in_a_row: u8,
}

impl PeerTiming {
    /// How many returns make a poll for it worth its time.
    fn returns_wanted(self) -> u8 {
        RETURNS << self.misses
    }
}

impl BusyPoll {
    /// The state of a loop that has not polled yet.
    pub(crate) fn new() -> BusyPoll {
        BusyPoll { allowance_ns: 0, counted_until: Time::ZERO, in_a_row: 0 }
    }

    /// Whether to poll for a peer that was answered in the turn of this time.
    pub(crate) fn is_worth_it(&mut self, timing: PeerTiming, now: Time) -> bool {
        let earned_ns = (nanoseconds(now.since(self.counted_until)) / IN_VAIN).cast_signed();
        self.allowance_ns = self.allowance_ns.saturating_add(earned_ns).min(ALLOWANCE_NS_MAX);
        self.counted_until = now;
        let polled_enough = self.in_a_row >= IN_A_ROW_MAX;
        let may_fail = timing.is_trusted || self.allowance_ns >= POLL_TIME_NS;
        let is_worth_it = timing.returns >= timing.returns_wanted() && may_fail && !polled_enough;
        self.in_a_row += u8::from(is_worth_it);
        is_worth_it
    }

    /// Notes that a peer has come back after this time, from the turn that answered it to the next, during which the
    /// loop slept.
    pub(crate) fn note_return(&self, timing: &mut PeerTiming, after: Duration) {
        timing.returns = match SLEPT_FOR.contains(&after) {
            true => timing.returns.saturating_add(1).min(timing.returns_wanted()),
            false => timing.returns.saturating_sub(1),
        };
    }

    /// Notes that the loop sleeps if nothing is ready.
    pub(crate) fn sleeps(&mut self) {
        self.in_a_row = 0;
    }

    /// Notes what a poll for a peer has brought.
    pub(crate) fn note(&mut self, timing: &mut PeerTiming, outcome: PollOutcome) {
        match outcome {
            PollOutcome::Came => (timing.misses, timing.is_trusted) = (0, true),
            PollOutcome::Missed => {
                self.allowance_ns = self.allowance_ns.saturating_sub(POLL_TIME_NS);
                self.sleeps();
                let misses = (timing.misses + 1).min(MISSES_MAX);
                *timing = PeerTiming { returns: 0, misses, is_trusted: false };
            }
            PollOutcome::Interrupted => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time after which a peer is worth polling for.
    const NEAR: Duration = Duration::from_micros(60);

    /// A peer that the loop polls for.
    const PROMPT: PeerTiming = PeerTiming { returns: RETURNS, misses: 0, is_trusted: true };

    /// A loop and a peer's timing, at a time.
    struct PollFixture {
        busy_poll: BusyPoll,
        timing: PeerTiming,
        now: Time,
    }

    impl PollFixture {
        /// After a time that has earned the whole allowance.
        fn new() -> PollFixture {
            let now = Time::ZERO.after_ns(IN_VAIN * ALLOWANCE_NS_MAX.cast_unsigned());
            PollFixture { busy_poll: BusyPoll::new(), timing: PeerTiming::default(), now }
        }

        /// Whether the loop polls for the peer now that it was answered.
        fn is_polled_for(&mut self) -> bool {
            self.busy_poll.is_worth_it(self.timing, self.now)
        }

        /// How often the peer comes back after this time until the loop polls for it, at most a thousand times.
        fn returns_before_poll(&mut self, after: Duration) -> usize {
            let has_slept = |_: &usize| {
                let has_slept = !self.is_polled_for();
                if has_slept {
                    self.busy_poll.note_return(&mut self.timing, after);
                }
                has_slept
            };
            (0..1000).take_while(has_slept).count()
        }

        fn note(&mut self, outcome: PollOutcome) {
            self.busy_poll.note(&mut self.timing, outcome);
        }
    }

    #[test]
    fn a_peer_is_polled_for_when_it_was_near_for_a_while_and_then_each_time() {
        let mut fixture = PollFixture::new();
        assert_eq!(fixture.returns_before_poll(NEAR), 16);
        fixture.note(PollOutcome::Came);
        assert_eq!(fixture.returns_before_poll(NEAR), 0);
    }

    #[test]
    fn a_peer_that_is_missed_is_polled_for_less_and_less_and_one_that_comes_as_at_first() {
        let mut fixture = PollFixture::new();
        let mut returns = || {
            let returns = fixture.returns_before_poll(NEAR);
            fixture.note(PollOutcome::Missed);
            returns
        };
        assert_eq!([(); 6].map(|()| returns()), [16, 32, 64, 128, 128, 128]);
        assert_eq!(fixture.returns_before_poll(NEAR), 128);
        fixture.note(PollOutcome::Came);
        fixture.note(PollOutcome::Missed);
        assert_eq!(fixture.returns_before_poll(NEAR), 32);
    }

    #[test]
    fn a_peer_that_shares_the_core_or_comes_late_is_let_alone() {
        for after in [Duration::from_micros(10), Duration::from_millis(1)] {
            let mut fixture = PollFixture::new();
            fixture.timing = PROMPT;
            fixture.busy_poll.note_return(&mut fixture.timing, after);
            assert_eq!(fixture.returns_before_poll(after), 1000, "{after:?}");
            assert_eq!(fixture.returns_before_poll(NEAR), 16);
        }
    }

    #[test]
    fn what_came_first_by_chance_changes_nothing() {
        let mut fixture = PollFixture::new();
        fixture.timing = PROMPT;
        fixture.note(PollOutcome::Interrupted);
        assert_eq!(fixture.timing, PROMPT);
    }

    /// How often the loop polls in vain in a second, for many peers with such a timing, of which none comes.
    fn misses_in_a_second(timing: impl Fn(usize) -> PeerTiming) -> usize {
        let mut fixture = PollFixture::new();
        let began = fixture.now;
        fixture.busy_poll = BusyPoll { allowance_ns: 0, counted_until: began, in_a_row: 0 };
        let mut misses = 0;
        while fixture.now.since(began) < Duration::from_secs(1) {
            fixture.timing = timing(misses);
            fixture.now = fixture.now.after_ns(10_000);
            if fixture.is_polled_for() {
                fixture.note(PollOutcome::Missed);
                misses += 1;
            }
        }
        misses
    }

    #[test]
    fn polling_in_vain_takes_one_part_in_two_hundred_of_the_time_at_most() {
        let due = |misses| PeerTiming { returns: u8::MAX, misses, is_trusted: false };
        assert_eq!(misses_in_a_second(|_| due(MISSES_MAX)), 100, "5 of 1000 milliseconds");
        assert_eq!(misses_in_a_second(|_| due(0)), 100, "and so for new ones");
        let trusted = |already| PeerTiming { is_trusted: already < 20, ..due(0) };
        assert_eq!(misses_in_a_second(trusted), 100, "what trusted peers waste is paid back");
    }

    #[test]
    fn a_peer_that_always_comes_is_polled_for_whatever_others_waste() {
        let mut fixture = PollFixture::new();
        fixture.busy_poll =
            BusyPoll { allowance_ns: -ALLOWANCE_NS_MAX, counted_until: fixture.now, in_a_row: 0 };
        fixture.timing = PROMPT;
        assert!(fixture.is_polled_for());
        fixture.note(PollOutcome::Came);
        assert!(fixture.is_polled_for());
        fixture.note(PollOutcome::Missed);
        assert_eq!(fixture.returns_before_poll(NEAR), 1000);
    }

    #[test]
    fn the_loop_sleeps_now_and_then_even_if_every_poll_pays() {
        let mut fixture = PollFixture::new();
        fixture.timing = PROMPT;
        let mut polls = || {
            let is_polled_for = fixture.is_polled_for();
            match is_polled_for {
                true => fixture.note(PollOutcome::Came),
                false => fixture.busy_poll.sleeps(),
            }
            is_polled_for
        };
        let pattern: Vec<bool> = (0..18).map(|_| polls()).collect();
        let sleeps: Vec<usize> = (0..18).filter(|&turn| !pattern[turn]).collect();
        assert_eq!(sleeps, [8, 17]);
    }
}
