//! What becomes ready, and the tokens that stand for it.

use mio::Token;

use super::connection_table::ConnectionSlot;

/// Something of a connection that becomes ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollSource {
    /// The socket of the connection in this slot.
    Socket(ConnectionSlot),
    /// The process of the connection in this slot.
    Process(ConnectionSlot),
}

impl PollSource {
    /// What a token stands for.
    pub(crate) fn of(token: Token) -> PollSource {
        match (token.0 / 2, token.0 % 2) {
            (slot, 0) => PollSource::Socket(slot),
            (slot, _) => PollSource::Process(slot),
        }
    }

    /// The token that stands for this.
    pub(crate) fn token(self) -> Token {
        match self {
            PollSource::Socket(slot) => Token(2 * slot),
            PollSource::Process(slot) => Token(2 * slot + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stand_for_one_source_each() {
        for slot in [0, 1, 2, 16_383] {
            for source in [PollSource::Socket(slot), PollSource::Process(slot)] {
                assert_eq!(PollSource::of(source.token()), source);
            }
        }
    }
}
