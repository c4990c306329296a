//! How objects display.

use std::fmt::{Display, Formatter, Result};

use super::{Kind, ObjectInfo, ObjectSummary};

/// As in `lock "deploy", awaited`.
impl Display for ObjectSummary {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        write!(formatter, "{}", called(self.kind, self.name.as_deref(), &self.id))?;
        formatter.write_str(if self.is_awaited { ", awaited" } else { "" })
    }
}

/// The object in a line, and a line for each waiter.
impl Display for ObjectInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let ObjectInfo { id, name, state, waiters, waiting, .. } = self;
        write!(formatter, "{}: {state}", called(state.kind(), name.as_deref(), id))?;
        for (waiter, number) in waiters.iter().zip(1..) {
            write!(formatter, "\n  {number}. {waiter}")?;
        }
        match (*waiting as usize).saturating_sub(waiters.len()) {
            0 => Ok(()),
            more => write!(formatter, "\n  and {more} more"),
        }
    }
}

fn called(kind: Kind, name: Option<&str>, id: &impl Display) -> String {
    match name {
        Some(name) => format!("{kind} {name:?}"),
        None => format!("{kind} {id}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::{ObjectId, ThreadId};
    use uuid::Uuid;

    use super::*;
    use crate::inspect::processes::HolderInfo;
    use crate::inspect::processes::tests::waiter;
    use crate::inspect::state::ObjectState;

    #[test]
    fn an_object_reads_as_a_line_and_one_for_each_who_waits() {
        let info = ObjectInfo {
            id: ObjectId(Uuid::nil()),
            name: Some("deploy".to_owned()),
            references: 3,
            state: ObjectState::Lock {
                is_reentrant: true,
                holder: Some(HolderInfo {
                    process: 12,
                    program: "deploy".into(),
                    thread: ThreadId(1),
                    held: Duration::from_millis(3_290),
                    depth: 2,
                    token: 7,
                    ending: Some("left; so".into()),
                }),
                abandoned: None,
            },
            waiters: vec![waiter(14, None), waiter(15, Some(Duration::from_secs(61)))],
            waiting: 3,
        };
        let lines = [
            "reentrant lock \"deploy\": held by pid 12 (deploy), thread 1, 2 times, for 3.2 s, which left; so",
            "  1. pid 14 (deploy), thread 2, has waited 1.5 s for the lock",
            "  2. pid 15 (deploy), thread 2, has waited 1.5 s for the lock, gives up in 1 min 1 s",
            "  and 1 more",
        ];
        assert_eq!(info.to_string(), lines.join("\n"));
    }

    #[test]
    fn a_summary_reads_as_a_line() {
        let id = ObjectId(Uuid::from_u128(1));
        let mut summary =
            ObjectSummary { id, name: Some("jobs".to_owned()), kind: Kind::Queue, is_awaited: true };
        assert_eq!(summary.to_string(), "queue \"jobs\", awaited");
        summary.name = None;
        summary.is_awaited = false;
        assert_eq!(summary.to_string(), "queue 00000000-0000-0000-0000-000000000001");
    }
}
