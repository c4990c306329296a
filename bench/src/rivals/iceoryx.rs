//! iceoryx2's event, which needs no manager: two processes that ring each other.

use anyhow::Result;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::prelude::*;

use crate::peer::{self, PeerProcess};
use crate::turns::{Contender, Samples};

/// The event that asks the other side to end.
const END: usize = 1;

/// One side of a pair.
struct PairSide {
    mine: Listener<ipc::Service>,
    other: Notifier<ipc::Service>,
    /// Kept for as long as the ports live.
    _node: Node<ipc::Service>,
}

impl PairSide {
    fn open(mine: &str, other: &str) -> Result<PairSide> {
        // It would warn of missing configuration files.
        set_log_level(LogLevel::Error);
        let node =
            NodeBuilder::new().signal_handling_mode(SignalHandlingMode::Disabled).create::<ipc::Service>()?;
        let mine = node.service_builder(&mine.try_into()?).event().open_or_create()?;
        let other = node.service_builder(&other.try_into()?).event().open_or_create()?;
        let (mine, other) = (mine.listener_builder().create()?, other.notifier_builder().create()?);
        Ok(PairSide { mine, other, _node: node })
    }

    /// Waits until the other side rings. Returns whether it goes on.
    fn wait(&self) -> Result<bool> {
        let (mut rung, mut goes_on) = (false, true);
        while !rung {
            self.mine.blocking_wait(|event| {
                rung = true;
                goes_on &= event.id.as_value() != END;
            })?;
        }
        Ok(goes_on)
    }
}

/// Two processes that pass control to each other.
pub(crate) struct Iceoryx {
    side: PairSide,
    /// How many rounds a turn has.
    rounds: usize,
    /// Declared last, so that it is dropped after it was asked to end.
    _other: PeerProcess,
}

impl Iceoryx {
    /// Starts the other process on the cores that this thread may use.
    pub(crate) fn start(rounds: usize) -> Result<Iceoryx> {
        let names = ["first", "second"].map(|side| format!("rallypoint/bench/{}/{side}", std::process::id()));
        let side = PairSide::open(&names[0], &names[1])?;
        let other = PeerProcess::copy("iceoryx", &names)?;
        Ok(Iceoryx { side, rounds, _other: other })
    }
}

impl Contender for Iceoryx {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        samples.time(self.rounds, || {
            self.side.other.notify()?;
            self.side.wait()?;
            Ok(())
        })
    }
}

impl Drop for Iceoryx {
    fn drop(&mut self) {
        // If the other process does not get this, the drop of its peer kills it.
        let _ = self.side.other.notify_with_custom_event_id(EventId::new(END));
    }
}

/// In a role: the other process.
pub(crate) fn ring_back(names: &[String]) -> Result<()> {
    let [other, mine] = names else { anyhow::bail!("two names are needed") };
    let side = PairSide::open(mine, other)?;
    peer::ready();
    while side.wait()? {
        side.other.notify()?;
    }
    Ok(())
}
