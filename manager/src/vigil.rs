//! Staying awake for a moment after an answer, for a peer that tends to come back at once.
//!
//! A core that has gone to sleep takes tens of microseconds to wake, above all on a virtual machine: more than all else
//! that a request costs. So the event loop looks for the next request of such a peer before it sleeps, for about as
//! long as waking takes.
//!
//! Where the peer shares the loop's core that would be in vain, and worse: as long as the loop looks the peer can not
//! run, until the scheduler moves it away. Such a peer is known by how soon it comes back after the loop has slept: too
//! soon for a core to have been woken. It is let alone. Otherwise what is known of a peer decides whether it is looked
//! for, and there is an allowance for trying.

use std::ops::Range;
use std::time::Duration;

use manager_core::Time;

use crate::clock::nanoseconds;

/// How long to look: about what it takes to wake a core. So looking costs at most twice what the better of looking and
/// sleeping does.
pub(crate) const LOOK_TIME: Duration = Duration::from_micros(50);

/// After what time, from turn to turn, a peer comes back that is worth looking for if the loop has slept meanwhile. Who
/// is sooner needed no core to be woken. Who is later would not have come in time.
const SLEPT_FOR: Range<Duration> = Duration::from_micros(25)..Duration::from_micros(120);

/// Which part of the time may be spent with looking in vain, all peers together.
const IN_VAIN: u64 = 200;

/// How much of that can be saved up, in nanoseconds.
const ALLOWANCE_NS_MAX: u64 = 1_000_000;

/// After how many looks in a row the loop sleeps, if nothing is there, so that whoever waits for its core can run.
const IN_A_ROW_MAX: u8 = 8;

/// What a peer of which nothing is known counts as: who comes for a few questions is not looked for.
const MISSES_AT_FIRST: u8 = 4;

/// A peer that is never there is looked for after two to the power of this answers.
const MISSES_MAX: u8 = 5;

/// How a peer behaves when it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Habit {
    /// How often in a row it was looked for in vain.
    misses: u8,
    /// How many answers go by before it is looked for again.
    pause: u8,
    /// Whether it came back, the last time, so that it was worth looking for it.
    is_near: bool,
}

/// What looking for a peer has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The peer came back.
    Came,
    /// Nobody came until the time was over.
    Missed,
    /// Somebody else came first, or something was there to begin with.
    Interrupted,
}

/// Decides when to look.
#[derive(Debug)]
pub(crate) struct Vigil {
    /// For how long it may still be looked in vain, in nanoseconds.
    allowance_ns: u64,
    /// Until when the allowance was counted.
    counted_until: Time,
    /// How many looks there were since the loop has slept.
    in_a_row: u8,
}

impl Habit {
    /// What is expected of a peer of which nothing is known.
    pub(crate) fn unknown() -> Habit {
        Habit { misses: MISSES_AT_FIRST, pause: 1 << MISSES_AT_FIRST, is_near: false }
    }
}

impl Vigil {
    /// A loop that has not looked yet.
    pub(crate) fn new() -> Vigil {
        Vigil { allowance_ns: 0, counted_until: Time::ZERO, in_a_row: 0 }
    }

    /// Whether to look for a peer that was answered in the turn of this time.
    pub(crate) fn is_worth_it(&mut self, habit: &mut Habit, now: Time) -> bool {
        let earned_ns = nanoseconds(now.since(self.counted_until)) / IN_VAIN;
        self.allowance_ns = self.allowance_ns.saturating_add(earned_ns).min(ALLOWANCE_NS_MAX);
        self.counted_until = now;
        let is_tired = self.in_a_row >= IN_A_ROW_MAX;
        habit.pause = habit.pause.saturating_sub(1);
        let may_fail = habit.misses == 0 || self.allowance_ns >= nanoseconds(LOOK_TIME);
        let is_worth_it = !is_tired && habit.is_near && habit.pause == 0 && may_fail;
        self.in_a_row += u8::from(is_worth_it);
        is_worth_it
    }

    /// Notes that a peer has come back after this time, from the turn that answered it to the next, in which the loop
    /// has slept.
    pub(crate) fn note_return(&self, habit: &mut Habit, after: Duration) {
        habit.is_near = SLEPT_FOR.contains(&after);
    }

    /// Notes that the loop sleeps, if nothing is there.
    pub(crate) fn sleeps(&mut self) {
        self.in_a_row = 0;
    }

    /// Notes what it has brought to look for a peer.
    pub(crate) fn note(&mut self, habit: &mut Habit, sight: Sight) {
        match sight {
            Sight::Came => *habit = Habit { misses: 0, pause: 0, is_near: true },
            Sight::Missed => {
                self.allowance_ns = self.allowance_ns.saturating_sub(nanoseconds(LOOK_TIME));
                self.sleeps();
                habit.misses = (habit.misses + 1).min(MISSES_MAX);
                habit.pause = 1 << habit.misses;
                habit.is_near = false;
            }
            Sight::Interrupted => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time that is worth looking for.
    const NEAR: Duration = Duration::from_micros(60);

    /// A loop with its peer's habit, at a time.
    struct Scene {
        vigil: Vigil,
        habit: Habit,
        now: Time,
    }

    impl Scene {
        /// After so long that trying is allowed.
        fn new() -> Scene {
            let now = Time::ZERO.after_ns(IN_VAIN * ALLOWANCE_NS_MAX);
            Scene { vigil: Vigil::new(), habit: Habit::unknown(), now }
        }

        /// How many answers go by before the peer is looked for, at most a thousand, if it comes back after this time
        /// each time that it is not.
        fn answers_before_look(&mut self, after: Duration) -> usize {
            let is_not_due = |_: &usize| {
                let is_due = self.vigil.is_worth_it(&mut self.habit, self.now);
                if !is_due {
                    self.vigil.note_return(&mut self.habit, after);
                }
                !is_due
            };
            (0..1000).take_while(is_not_due).count()
        }

        fn note(&mut self, sight: Sight) {
            self.vigil.note(&mut self.habit, sight);
        }
    }

    #[test]
    fn a_new_peer_is_looked_for_after_some_answers_and_a_prompt_one_after_each() {
        let mut scene = Scene::new();
        assert_eq!(scene.answers_before_look(NEAR), 15);
        scene.note(Sight::Came);
        assert_eq!(scene.answers_before_look(NEAR), 0);
    }

    #[test]
    fn who_is_missed_is_looked_for_less_and_less_and_who_comes_at_once_again() {
        let mut scene = Scene::new();
        scene.habit = Habit { misses: 0, pause: 0, is_near: true };
        let mut waits = || {
            let answers = scene.answers_before_look(NEAR);
            scene.note(Sight::Missed);
            answers
        };
        assert_eq!([(); 8].map(|()| waits()), [0, 1, 3, 7, 15, 31, 31, 31]);
        assert_eq!(scene.answers_before_look(NEAR), 31);
        scene.note(Sight::Came);
        assert_eq!(scene.answers_before_look(NEAR), 0);
    }

    #[test]
    fn who_shares_the_core_and_who_comes_late_is_let_alone() {
        for after in [Duration::from_micros(10), Duration::from_millis(1)] {
            let mut scene = Scene::new();
            scene.note(Sight::Came);
            scene.note(Sight::Missed);
            assert_eq!(scene.answers_before_look(after), 1000, "{after:?}");
            assert_eq!(scene.answers_before_look(NEAR), 1);
        }
    }

    #[test]
    fn what_came_first_by_chance_changes_nothing() {
        let mut scene = Scene::new();
        scene.answers_before_look(NEAR);
        let before = scene.habit;
        scene.note(Sight::Interrupted);
        assert_eq!(scene.habit, before);
    }

    #[test]
    fn looking_in_vain_takes_one_part_in_two_hundred_of_the_time_at_most() {
        let mut scene = Scene::new();
        scene.vigil.allowance_ns = 0;
        scene.vigil.counted_until = scene.now;
        let began = scene.now;
        let mut missed = 0;
        while scene.now.since(began) < Duration::from_secs(1) {
            // Many peers, none of which ever comes back at once, and each of which is due.
            scene.habit = Habit { misses: MISSES_MAX, pause: 0, is_near: true };
            scene.now = scene.now.after_ns(10_000);
            if scene.vigil.is_worth_it(&mut scene.habit, scene.now) {
                scene.note(Sight::Missed);
                missed += 1;
            }
        }
        assert_eq!(missed, 100, "5 of 1000 milliseconds");
    }

    #[test]
    fn the_loop_sleeps_now_and_then_even_if_every_look_pays() {
        let mut scene = Scene::new();
        scene.habit = Habit { misses: 0, pause: 0, is_near: true };
        let mut looks = || {
            let is_worth_it = scene.vigil.is_worth_it(&mut scene.habit, scene.now);
            match is_worth_it {
                true => scene.note(Sight::Came),
                false => scene.vigil.sleeps(),
            }
            is_worth_it
        };
        let pattern: Vec<bool> = (0..18).map(|_| looks()).collect();
        let sleeps: Vec<usize> = (0..18).filter(|&turn| !pattern[turn]).collect();
        assert_eq!(sleeps, [8, 17]);
    }
}
