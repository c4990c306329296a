//! Moments in a few bytes, of which each connection keeps one.

use manager_core::Time;

/// A moment to about a millisecond, in a few bytes. It comes round after fifty days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CoarseTime(u32);

impl CoarseTime {
    /// The nanoseconds of one unit, as a power of two.
    const SHIFT: u32 = 20;

    pub(super) fn at(time: Time) -> CoarseTime {
        CoarseTime((time.ns_since(Time::ZERO) >> CoarseTime::SHIFT) as u32)
    }

    /// How many units have passed since.
    pub(super) fn age(self, now: CoarseTime) -> u32 {
        now.0.wrapping_sub(self.0)
    }
}
