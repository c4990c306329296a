//! The measurements, one family in each file: contenders take turns, and rows report them.

mod bare_server;
mod crowd;
mod event;
mod floors;
mod handover;
mod large;
mod layers;
mod lock;
mod mirror;
mod pool;
mod scale;
mod start;
mod throughput;
mod wake;

use anyhow::Result;

use crate::report::Row;
use crate::rivals::{self, Missing};
use crate::settings::Settings;

pub(crate) use pool::registry;

/// Measurements that belong together.
pub(crate) struct Family {
    /// The name by which `--only` chooses it.
    pub(crate) name: &'static str,
    /// Measures it.
    pub(crate) measure: fn(&Settings, &Missing) -> Result<Vec<Row>>,
}

/// All families, in the order in which they run.
pub(crate) const ALL: &[Family] = &[
    Family { name: "event", measure: event::measure },
    Family { name: "layers", measure: layers::measure },
    Family { name: "mirror", measure: mirror::measure },
    Family { name: "lock", measure: lock::measure },
    Family { name: "handover", measure: handover::measure },
    Family { name: "wake", measure: wake::measure },
    Family { name: "throughput", measure: throughput::measure },
    Family { name: "crowd", measure: crowd::measure },
    Family { name: "scale", measure: scale::measure },
    Family { name: "start", measure: start::measure },
    Family { name: "pool", measure: pool::measure },
    Family { name: "large", measure: large::measure },
];

/// Plays the role that a copy of this program was started for.
pub(crate) fn play(role: &str, arguments: &[String]) -> Result<()> {
    match role {
        "echo" => floors::echo(arguments),
        "relay" => floors::relay(arguments),
        "futex" => floors::futex_back(arguments),
        "handover" => handover::hand_back(arguments),
        "wake" => wake::wait_again(arguments),
        "crowd" => crowd::wait_again(arguments),
        "layers" => layers::answer(arguments),
        "bare-server" => bare_server::serve(arguments),
        "nothing" => start::nothing(),
        "iceoryx" => rivals::iceoryx::ring_back(arguments),
        "ends-with-parent" => rivals::redis::become_program_that_ends_with_parent(arguments),
        _ => anyhow::bail!("this program has no role {role:?}"),
    }
}
