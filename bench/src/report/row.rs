//! One row: a floor, ours and a rival, and a goal for the value.

use crate::turns::Measured;

/// All processes share one core.
pub(crate) const ONE_CORE: &str = "one core";

/// Each side has a core of its own.
pub(crate) const A_CORE_EACH: &str = "a core each";

/// The kernel chooses the cores.
pub(crate) const ALL_CORES: &str = "all cores";

/// The unit of a row's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Time.
    Nanoseconds,
    /// Time.
    Microseconds,
    /// Time.
    Milliseconds,
    /// A rate: more is better.
    PerSecond,
    /// Memory.
    Bytes,
}

impl Unit {
    /// The unit's symbol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Microseconds => "µs",
            Unit::Milliseconds => "ms",
            Unit::PerSecond => "1/s",
            Unit::Bytes => "bytes",
        }
    }

    /// Converts a number of nanoseconds to this unit.
    fn of_nanoseconds(self, nanoseconds: f64) -> f64 {
        match self {
            Unit::Nanoseconds => nanoseconds,
            Unit::Microseconds => nanoseconds / 1e3,
            Unit::Milliseconds => nanoseconds / 1e6,
            Unit::PerSecond => 1e9 / nanoseconds,
            Unit::Bytes => unreachable!("memory takes no time"),
        }
    }

    /// Converts a number of this unit to nanoseconds; none for memory.
    pub(crate) fn to_nanoseconds(self, value: f64) -> Option<f64> {
        match self {
            Unit::Nanoseconds => Some(value),
            Unit::Microseconds => Some(value * 1e3),
            Unit::Milliseconds => Some(value * 1e6),
            Unit::PerSecond => Some(1e9 / value),
            Unit::Bytes => None,
        }
    }
}

/// What the value of a row is, which its goal bounds from above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Ours.
    Ours,
    /// Ours, divided by the floor.
    OursToFloor,
    /// Ours, divided by the rival.
    OursToRival,
    /// The rival, divided by ours: for rates.
    RivalToOurs,
}

/// One row of the report. It has a number for each turn, in its unit; the report shows their median.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The name for other programs.
    pub(crate) name: &'static str,
    /// The description for people.
    pub(crate) what: String,
    /// The unit of the numbers.
    pub(crate) unit: Unit,
    /// The cores on which it ran.
    pub(crate) pinning: &'static str,
    /// The kernel's part, without which nothing can do it.
    pub(crate) floor: Vec<f64>,
    /// Rallypoint's numbers.
    pub(crate) ours: Vec<f64>,
    /// The rival's numbers.
    pub(crate) rival: Vec<f64>,
    /// The rival's name, even if the rival is missing.
    pub(crate) rival_name: Option<&'static str>,
    /// What the value is.
    bound: Bound,
    /// The most that the value may be.
    pub(crate) goal: Option<f64>,
}

impl Row {
    /// A row without numbers. Its value is ours.
    pub(crate) fn new(name: &'static str, what: &str, unit: Unit, pinning: &'static str) -> Row {
        Row {
            name,
            what: what.to_owned(),
            unit,
            pinning,
            floor: Vec::new(),
            ours: Vec::new(),
            rival: Vec::new(),
            rival_name: None,
            bound: Bound::Ours,
            goal: None,
        }
    }

    /// Sets the floor.
    pub(crate) fn floor(mut self, measured: &Measured) -> Row {
        self.floor = self.in_unit(&measured.turns);
        self
    }

    /// Sets the floor to something that was not measured as one.
    pub(crate) fn floor_is(mut self, floor: Vec<f64>) -> Row {
        self.floor = floor;
        self
    }

    /// Ours.
    pub(crate) fn ours(mut self, measured: &Measured) -> Row {
        self.ours = self.in_unit(&measured.turns);
        self
    }

    /// Sets the rival, if there is one.
    pub(crate) fn rival(mut self, name: &'static str, measured: Option<&Measured>) -> Row {
        self.rival_name = Some(name);
        self.rival = measured.map(|measured| self.in_unit(&measured.turns)).unwrap_or_default();
        self
    }

    /// Sets all three to the time that one operation of a hundred exceeds.
    pub(crate) fn p99(
        mut self,
        floor: &Measured,
        ours: &Measured,
        rival: Option<(&'static str, &Measured)>,
    ) -> Row {
        self.floor = self.in_unit(&[floor.p99()]);
        self.ours = self.in_unit(&[ours.p99()]);
        self.rival_name = rival.map(|(name, _)| name);
        self.rival = rival.map(|(_, measured)| self.in_unit(&[measured.p99()])).unwrap_or_default();
        self
    }

    /// Sets ours to something that is no time.
    pub(crate) fn ours_is(mut self, ours: Vec<f64>) -> Row {
        self.ours = ours;
        self
    }

    /// What the value is.
    pub(crate) fn value_is(mut self, bound: Bound) -> Row {
        self.bound = bound;
        self
    }

    /// Sets what the value is, and the most that it may be.
    pub(crate) fn at_most(mut self, bound: Bound, goal: f64) -> Row {
        self.bound = bound;
        self.goal = Some(goal);
        self
    }

    fn in_unit(&self, nanoseconds: &[f64]) -> Vec<f64> {
        nanoseconds.iter().map(|&time| self.unit.of_nanoseconds(time)).collect()
    }

    /// The value.
    pub(crate) fn value(&self) -> Option<f64> {
        let (over, under) = self.fraction();
        Some(median(over)? / under.map_or(Some(1.0), median)?)
    }

    /// The distance between the quartiles of all turns, divided by the median.
    pub(crate) fn spread(&self) -> Option<f64> {
        let (over, under) = self.fraction();
        let mut values: Vec<f64> = match under {
            None => over.to_vec(),
            Some(under) => over.iter().zip(under).map(|(over, under)| over / under).collect(),
        };
        if values.len() < 4 {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let at = |part: f64| values[((values.len() - 1) as f64 * part).round() as usize];
        Some((at(0.75) - at(0.25)) / at(0.5))
    }

    /// Whether the value meets the goal, if there is a goal and the value could be measured.
    pub(crate) fn met(&self) -> Option<bool> {
        Some(self.value()? <= self.goal?)
    }

    fn fraction(&self) -> (&[f64], Option<&[f64]>) {
        match self.bound {
            Bound::Ours => (&self.ours, None),
            Bound::OursToFloor => (&self.ours, Some(&self.floor)),
            Bound::OursToRival => (&self.ours, Some(&self.rival)),
            Bound::RivalToOurs => (&self.rival, Some(&self.ours)),
        }
    }
}

/// The median of some numbers.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(floor: &[f64], ours: &[f64], rival: &[f64]) -> Row {
        let mut row = Row::new("row", "a row", Unit::Microseconds, "one core");
        (row.floor, row.ours, row.rival) = (floor.to_vec(), ours.to_vec(), rival.to_vec());
        row
    }

    #[test]
    fn a_value_is_of_medians_and_its_goal_is_the_most_it_may_be() {
        let row = row(&[8.0, 10.0, 90.0], &[11.0, 12.0, 10.0], &[40.0]);
        let to_floor = row.clone().at_most(Bound::OursToFloor, 1.1);
        assert_eq!((to_floor.value(), to_floor.met()), (Some(1.1), Some(true)));
        let to_rival = row.clone().at_most(Bound::OursToRival, 0.2);
        assert_eq!((to_rival.value(), to_rival.met()), (Some(0.275), Some(false)));
        assert_eq!(row.met(), None);
    }

    #[test]
    fn without_a_rival_nothing_is_said_of_it() {
        let row = row(&[1.0], &[1.0], &[]).at_most(Bound::OursToRival, 0.5);
        assert_eq!((row.value(), row.spread(), row.met()), (None, None, None));
    }

    #[test]
    fn spread_is_that_of_turns_taken_together() {
        let floor: Vec<f64> = (1..=9).map(f64::from).collect();
        let ours: Vec<f64> = floor.iter().map(|floor| floor * 2.0).collect();
        assert_eq!(row(&floor, &ours, &[]).value_is(Bound::OursToFloor).spread(), Some(0.0));
        assert_eq!(row(&[], &floor, &[]).spread(), Some(0.8));
    }
}
