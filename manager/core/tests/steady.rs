//! Repeated requests allocate nothing: from the bytes of a request, through the state, to the bytes of the answer.

#[path = "../../../tests/support/counting_allocator.rs"]
mod counting_allocator;

use manager_core::{Effect, Input, Peer, State, Time};
use protocol::{
    Answer, Envelope, Epoch, FrameBuffer, Limits, ObjectId, OpenMode, Reply, Request, RequestId, SessionId,
    Spec, Target, ThreadId, WaitMode, append_frame, decode,
};
use uuid::Uuid;

/// One client and its manager, without the socket between them.
struct CoreLink {
    state: State,
    effects: Vec<Effect>,
    sent: Vec<u8>,
    received: FrameBuffer,
    answered: Vec<u8>,
    request: u64,
    answers: u64,
}

const SESSION: SessionId = SessionId(1);

impl CoreLink {
    fn new() -> CoreLink {
        let mut link = CoreLink {
            state: State::new(Epoch(Uuid::from_u128(1)), Limits::default(), 1),
            effects: Vec::new(),
            sent: Vec::new(),
            received: FrameBuffer::new(1 << 20),
            answered: Vec::new(),
            request: 0,
            answers: 0,
        };
        let peer = Peer { process: 1, program: "test".into() };
        link.state.apply(Time::ZERO, Input::SessionBegan { session: SESSION, peer }, &mut link.effects);
        link
    }

    /// Sends one request all the way, and looks at the answer if there is one.
    fn call(&mut self, body: Request<'_>, look: impl FnOnce(Option<&Reply>)) {
        self.request += 1;
        let envelope = Envelope { request: RequestId(self.request), received: self.answers, body };
        self.sent.clear();
        append_frame(&mut self.sent, &envelope).unwrap();
        self.received.space()[..self.sent.len()].copy_from_slice(&self.sent);
        self.received.filled(self.sent.len());
        let envelope = decode(self.received.next_body().unwrap().unwrap()).unwrap();
        self.state.apply(Time::ZERO, Input::Request { session: SESSION, envelope }, &mut self.effects);
        let mut seen = None;
        for effect in self.effects.drain(..) {
            let Effect::Reply { request, reply, .. } = effect else { panic!("{effect:?}") };
            let answer = Answer { request, body: reply };
            self.answered.clear();
            append_frame(&mut self.answered, &answer).unwrap();
            self.answers += 1;
            seen = Some(answer.body);
        }
        look(seen.as_ref());
    }
}

fn object(number: u128) -> ObjectId {
    ObjectId(Uuid::from_u128(number))
}

fn wait(target: Target<'static>) -> Request<'static> {
    Request::Wait { mode: WaitMode::Any, targets: [target].into(), timeout_ns: Some(0), thread: ThreadId(1) }
}

#[test]
fn what_is_asked_for_again_and_again_allocates_nothing() {
    let mut link = CoreLink::new();
    let specs = [
        Spec::Event { auto_reset: false },
        Spec::Lock,
        Spec::Semaphore { permits: 3, is_bounded: false },
        Spec::Latch { count: u64::MAX },
    ];
    for (number, spec) in (1..).zip(specs) {
        let open = Request::Open { id: object(number), name: None, spec, mode: OpenMode::CreateNew };
        link.call(open, |reply| assert!(matches!(reply, Some(Reply::Opened { .. }))));
    }
    let [event, lock, semaphore, latch] = [1, 2, 3, 4].map(object);
    let mut allocations = 0;
    for round in 0..100 {
        let before = counting_allocator::allocations();
        link.call(Request::EventIsSet { id: event }, |reply| assert_eq!(reply, Some(&Reply::Flag(false))));
        link.call(Request::EventClear { id: event }, |reply| assert_eq!(reply, Some(&Reply::Done)));
        link.call(wait(Target::Event { id: event }), |reply| {
            assert_eq!(reply, Some(&Reply::TimedOut { reacquired: None }));
        });
        link.call(wait(Target::Lock { id: lock }), |reply| assert!(matches!(reply, Some(Reply::Taken(_)))));
        link.call(Request::Release { id: lock, holding: None, thread: ThreadId(1) }, |reply| {
            assert_eq!(reply, Some(&Reply::Done));
        });
        link.call(Request::SemaphoreAvailable { id: semaphore }, |reply| {
            assert_eq!(reply, Some(&Reply::Count(3)));
        });
        link.call(Request::LatchCountDown { id: latch, count: 1 }, |reply| {
            assert!(matches!(reply, Some(Reply::Count(_))));
        });
        // The first rounds make the buffers and tables as large as they need to be.
        if round >= 10 {
            allocations += counting_allocator::allocations() - before;
        }
    }
    assert_eq!(allocations, 0);
}
