//! Staying awake for a moment after an answer, for a peer that tends to come back at once.
//!
//! A core that has gone to sleep takes tens of microseconds to wake, above all on a virtual machine: more than all else
//! that a request costs. So the event loop looks for the next request of such a peer before it sleeps, for about as
//! long as waking takes.
//!
//! Where the peer shares the loop's core that would be in vain, and worse: while the loop looks the peer can not run,
//! until the scheduler moves it away, where its calls take longer. Such a peer is known by how soon it comes back after
//! the loop has slept: too soon for a core to have been woken. It is let alone. And as the scheduler tends to bring
//! together who wakes each other, a peer is looked for only when that has not happened for a while.

use std::ops::Range;
use std::time::Duration;

use manager_core::Time;

use super::clock::nanoseconds;

/// How long to look: about what it takes to wake a core. So looking costs at most twice what the better of looking and
/// sleeping does.
pub(crate) const LOOK_TIME: Duration = Duration::from_nanos(LOOK_TIME_NS.cast_unsigned());
/// The same in nanoseconds, as the allowance counts them.
const LOOK_TIME_NS: i64 = 50_000;

/// After what time, from turn to turn, a peer comes back that is worth looking for if the loop has slept meanwhile. Who
/// is sooner needed no core to be woken. Who is later would not have come in time.
const SLEPT_FOR: Range<Duration> = Duration::from_micros(25)..Duration::from_micros(120);

/// Which part of the time may be spent with looking in vain, all peers together, in the long run.
const IN_VAIN: u64 = 200;

/// How much of that can be saved up, in nanoseconds.
const ALLOWANCE_NS_MAX: i64 = 1_000_000;

/// After how many looks in a row the loop sleeps, if nothing is there, so that whoever waits for its core can run.
const IN_A_ROW_MAX: u8 = 8;

/// How many more returns that were worth looking for it than others make that a peer is looked for. Who comes for a few
/// questions is not, and the scheduler has had its chance.
const RETURNS: u8 = 16;

/// After how many looks in vain, each of which doubles that number, it grows no further.
const MISSES_MAX: u8 = 3;

/// How a peer behaves when it was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerTiming {
    /// How often it came back so that it was worth looking for it, less how often it did not; no more than is wanted.
    returns: u8,
    /// How often in a row it was looked for in vain.
    misses: u8,
    /// Whether it came when it was looked for last. Then it is looked for also if nothing is allowed: what others waste
    /// is not its fault. If it fails, that is owed, so each can do so once.
    is_trusted: bool,
}

/// What looking for a peer has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// The peer came back.
    Came,
    /// Nobody came until the time was over.
    Missed,
    /// Somebody else came first, or something was there to begin with. Being awake for that one was as good, so nothing
    /// was in vain.
    Interrupted,
}

/// Decides when to look.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    /// For how long it may still be looked in vain, in nanoseconds; less than none if that was too long already.
    allowance_ns: i64,
    /// Until when the allowance was counted.
    counted_until: Time,
    /// How many looks there were since the loop has slept.
    in_a_row: u8,
}

impl PeerTiming {
    /// How many returns make it worth looking for it.
    fn returns_wanted(self) -> u8 {
        RETURNS << self.misses
    }
}

impl BusyPoll {
    /// A loop that has not looked yet.
    pub(crate) fn new() -> BusyPoll {
        BusyPoll { allowance_ns: 0, counted_until: Time::ZERO, in_a_row: 0 }
    }

    /// Whether to look for a peer that was answered in the turn of this time.
    pub(crate) fn is_worth_it(&mut self, timing: PeerTiming, now: Time) -> bool {
        let earned_ns = (nanoseconds(now.since(self.counted_until)) / IN_VAIN).cast_signed();
        self.allowance_ns = self.allowance_ns.saturating_add(earned_ns).min(ALLOWANCE_NS_MAX);
        self.counted_until = now;
        let is_tired = self.in_a_row >= IN_A_ROW_MAX;
        let may_fail = timing.is_trusted || self.allowance_ns >= LOOK_TIME_NS;
        let is_worth_it = timing.returns >= timing.returns_wanted() && may_fail && !is_tired;
        self.in_a_row += u8::from(is_worth_it);
        is_worth_it
    }

    /// Notes that a peer has come back after this time, from the turn that answered it to the next, in which the loop
    /// has slept.
    pub(crate) fn note_return(&self, timing: &mut PeerTiming, after: Duration) {
        timing.returns = match SLEPT_FOR.contains(&after) {
            true => timing.returns.saturating_add(1).min(timing.returns_wanted()),
            false => timing.returns.saturating_sub(1),
        };
    }

    /// Notes that the loop sleeps, if nothing is there.
    pub(crate) fn sleeps(&mut self) {
        self.in_a_row = 0;
    }

    /// Notes what it has brought to look for a peer.
    pub(crate) fn note(&mut self, timing: &mut PeerTiming, outlook: Outlook) {
        match outlook {
            Outlook::Came => (timing.misses, timing.is_trusted) = (0, true),
            Outlook::Missed => {
                self.allowance_ns = self.allowance_ns.saturating_sub(LOOK_TIME_NS);
                self.sleeps();
                let misses = (timing.misses + 1).min(MISSES_MAX);
                *timing = PeerTiming { returns: 0, misses, is_trusted: false };
            }
            Outlook::Interrupted => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time after which a peer is worth looking for.
    const NEAR: Duration = Duration::from_micros(60);

    /// A peer that is looked for.
    const PROMPT: PeerTiming = PeerTiming { returns: RETURNS, misses: 0, is_trusted: true };

    /// A loop and a peer's timing, at a time.
    struct Scene {
        busy_poll: BusyPoll,
        timing: PeerTiming,
        now: Time,
    }

    impl Scene {
        /// After so long that trying is allowed.
        fn new() -> Scene {
            let now = Time::ZERO.after_ns(IN_VAIN * ALLOWANCE_NS_MAX.cast_unsigned());
            Scene { busy_poll: BusyPoll::new(), timing: PeerTiming::default(), now }
        }

        /// Whether the peer is looked for now that it was answered.
        fn is_looked_for(&mut self) -> bool {
            self.busy_poll.is_worth_it(self.timing, self.now)
        }

        /// How often the peer comes back after this time until it is looked for, at most a thousand times.
        fn returns_before_look(&mut self, after: Duration) -> usize {
            let has_slept = |_: &usize| {
                let has_slept = !self.is_looked_for();
                if has_slept {
                    self.busy_poll.note_return(&mut self.timing, after);
                }
                has_slept
            };
            (0..1000).take_while(has_slept).count()
        }

        fn note(&mut self, outlook: Outlook) {
            self.busy_poll.note(&mut self.timing, outlook);
        }
    }

    #[test]
    fn a_peer_is_looked_for_when_it_was_near_for_a_while_and_then_each_time() {
        let mut scene = Scene::new();
        assert_eq!(scene.returns_before_look(NEAR), 16);
        scene.note(Outlook::Came);
        assert_eq!(scene.returns_before_look(NEAR), 0);
    }

    #[test]
    fn who_is_missed_is_looked_for_less_and_less_and_who_comes_as_at_first() {
        let mut scene = Scene::new();
        let mut returns = || {
            let returns = scene.returns_before_look(NEAR);
            scene.note(Outlook::Missed);
            returns
        };
        assert_eq!([(); 6].map(|()| returns()), [16, 32, 64, 128, 128, 128]);
        assert_eq!(scene.returns_before_look(NEAR), 128);
        scene.note(Outlook::Came);
        scene.note(Outlook::Missed);
        assert_eq!(scene.returns_before_look(NEAR), 32);
    }

    #[test]
    fn who_shares_the_core_and_who_comes_late_is_let_alone() {
        for after in [Duration::from_micros(10), Duration::from_millis(1)] {
            let mut scene = Scene::new();
            scene.timing = PROMPT;
            scene.busy_poll.note_return(&mut scene.timing, after);
            assert_eq!(scene.returns_before_look(after), 1000, "{after:?}");
            assert_eq!(scene.returns_before_look(NEAR), 16);
        }
    }

    #[test]
    fn what_came_first_by_chance_changes_nothing() {
        let mut scene = Scene::new();
        scene.timing = PROMPT;
        scene.note(Outlook::Interrupted);
        assert_eq!(scene.timing, PROMPT);
    }

    /// How often it is looked in vain in a second for many peers with such a timing, of which one is due and none comes.
    fn misses_in_a_second(timing: impl Fn(usize) -> PeerTiming) -> usize {
        let mut scene = Scene::new();
        let began = scene.now;
        scene.busy_poll = BusyPoll { allowance_ns: 0, counted_until: began, in_a_row: 0 };
        let mut misses = 0;
        while scene.now.since(began) < Duration::from_secs(1) {
            scene.timing = timing(misses);
            scene.now = scene.now.after_ns(10_000);
            if scene.is_looked_for() {
                scene.note(Outlook::Missed);
                misses += 1;
            }
        }
        misses
    }

    #[test]
    fn looking_in_vain_takes_one_part_in_two_hundred_of_the_time_at_most() {
        let due = |misses| PeerTiming { returns: u8::MAX, misses, is_trusted: false };
        assert_eq!(misses_in_a_second(|_| due(MISSES_MAX)), 100, "5 of 1000 milliseconds");
        assert_eq!(misses_in_a_second(|_| due(0)), 100, "and so for new ones");
        let trusted = |already| PeerTiming { is_trusted: already < 20, ..due(0) };
        assert_eq!(misses_in_a_second(trusted), 100, "what those take who came before is paid back");
    }

    #[test]
    fn who_always_comes_is_looked_for_whatever_others_waste() {
        let mut scene = Scene::new();
        scene.busy_poll = BusyPoll { allowance_ns: -ALLOWANCE_NS_MAX, counted_until: scene.now, in_a_row: 0 };
        scene.timing = PROMPT;
        assert!(scene.is_looked_for());
        scene.note(Outlook::Came);
        assert!(scene.is_looked_for());
        scene.note(Outlook::Missed);
        assert_eq!(scene.returns_before_look(NEAR), 1000);
    }

    #[test]
    fn the_loop_sleeps_now_and_then_even_if_every_look_pays() {
        let mut scene = Scene::new();
        scene.timing = PROMPT;
        let mut looks = || {
            let is_looked_for = scene.is_looked_for();
            match is_looked_for {
                true => scene.note(Outlook::Came),
                false => scene.busy_poll.sleeps(),
            }
            is_looked_for
        };
        let pattern: Vec<bool> = (0..18).map(|_| looks()).collect();
        let sleeps: Vec<usize> = (0..18).filter(|&turn| !pattern[turn]).collect();
        assert_eq!(sleeps, [8, 17]);
    }
}
