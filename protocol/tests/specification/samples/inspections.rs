//! Samples of what an inspection shows.

use protocol::{
    HolderInfo, Kind, ObjectInfo, ObjectState, ObjectSummary, PermitsInfo, RunningCallInfo, SessionId,
    SessionInfo, ThreadId, WaiterInfo, Wanted,
};

use super::sample::{Sample, encode, structs, variants};
use super::values::*;

pub(super) fn inspections(samples: &mut Vec<Sample>) {
    structs!(samples,
        SessionInfo {
            session: SessionId(LARGE),
            process: 4711,
            program: "program".into(),
            age_ns: LARGE,
            objects: 300,
            waits: 200,
            calls: 100,
            ending: Some("left".into()),
        }
        ObjectSummary { id: OBJECT, name: Some("stop".into()), kind: Kind::Queue, is_awaited: true }
        ObjectInfo {
            id: OBJECT,
            name: Some("stop".into()),
            references: 300,
            state: ObjectState::Latch { count: LARGE },
            waiters: vec![waiter_info(), waiter_info()],
            waiting: 200,
        }
        PermitsInfo { session: session_info(), permits: LARGE, held_ns: LARGE }
        RunningCallInfo {
            session: session_info(),
            function: "count".into(),
            batch: OBJECT,
            number: LARGE,
            retry: 300,
            running_ns: LARGE,
        }
        HolderInfo {
            process: 4711,
            program: "program".into(),
            thread: ThreadId(LARGE),
            held_ns: LARGE,
            depth: 300,
            token: LARGE,
            ending: Some("left".into()),
        }
        WaiterInfo {
            process: 4711,
            program: "program".into(),
            thread: ThreadId(LARGE),
            wants: Wanted::Permits { permits: LARGE },
            waited_ns: LARGE,
            remaining_ns: Some(LARGE),
        }
    );
    variants!(samples, Wanted {
        Event,
        Calls,
        Results,
        Lock,
        Relock,
        Notification,
        Permits { permits: LARGE },
        Barrier,
        Latch,
        Item,
        Room,
        Joined,
    });
    variants!(samples, ObjectState {
        Event { auto_reset: true, set_by: Some(cause()) },
        Pool { batches: 300, is_closed: true, running: vec![running_call_info()] },
        Batch { function: "count".into(), progress: progress() },
        Lock { is_reentrant: true, holder: Some(holder_info()), abandoned: Some(abandonment()) },
        Condition { lock: OBJECT },
        Semaphore {
            available: LARGE,
            permits_max: Some(LARGE),
            holders: vec![permits_info(), permits_info()],
        },
        Barrier { status: barrier_status(), acting: Some(session_info()) },
        Latch { count: LARGE },
        Queue {
            length: LARGE,
            capacity: Some(LARGE),
            unfinished: Some(LARGE),
            is_closed: true,
            holders: vec![(session_info(), LARGE), (session_info(), LARGE)],
        },
    });
}
