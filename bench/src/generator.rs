//! The load of many clients: one thread with a connection for each, driven by epoll. It is the same for every server,
//! so that it compares the servers and not their clients.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Result, ensure};
use rustix::event::epoll;

use crate::turns::{Contender, Samples};

/// The free space for what one read brings.
const READ_BYTES: usize = 16 << 10;

/// How one client speaks to its server.
pub(crate) trait LoadProtocol {
    /// Appends one request to the output.
    fn ask(&mut self, output: &mut Vec<u8>) -> Result<()>;

    /// Counts the complete answers at the front of the input. Returns how many there are, and how many bytes they have.
    fn take_answers(&mut self, input: &[u8]) -> Result<(usize, usize)>;
}

/// One connection.
struct LoadClient<S> {
    socket: UnixStream,
    protocol: S,
    /// The beginning of an answer that is not complete yet.
    input: Vec<u8>,
    /// The requests to send.
    output: Vec<u8>,
}

/// Many clients, each of which keeps a fixed number of requests in flight. A turn is a fixed number of all their
/// requests, and its one sample is the mean time for one.
pub(crate) struct Generator<S> {
    clients: Vec<LoadClient<S>>,
    epoll: std::os::fd::OwnedFd,
    /// How many requests each client keeps in flight.
    depth: usize,
    /// How many requests a turn has.
    requests: usize,
}

impl<S: LoadProtocol> Generator<S> {
    /// Clients on these connections.
    pub(crate) fn new(
        connections: Vec<(UnixStream, S)>,
        depth: usize,
        requests: usize,
    ) -> Result<Generator<S>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::new();
        for (number, (socket, protocol)) in connections.into_iter().enumerate() {
            epoll::add(&epoll, &socket, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
            clients.push(LoadClient { socket, protocol, input: Vec::new(), output: Vec::new() });
        }
        Ok(Generator { clients, epoll, depth, requests })
    }
}

impl<S: LoadProtocol> LoadClient<S> {
    /// Sends this many requests in one write.
    fn ask(&mut self, requests: usize) -> Result<()> {
        for _ in 0..requests {
            self.protocol.ask(&mut self.output)?;
        }
        self.socket.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Reads once. Returns how many complete answers have come.
    fn read(&mut self, space: &mut [u8]) -> Result<usize> {
        let bytes = self.socket.read(space)?;
        ensure!(bytes > 0, "the server has closed a connection");
        if self.input.is_empty() {
            // This is the usual case, which copies nothing.
            let (answers, taken) = self.protocol.take_answers(&space[..bytes])?;
            self.input.extend_from_slice(&space[taken..bytes]);
            return Ok(answers);
        }
        self.input.extend_from_slice(&space[..bytes]);
        let (answers, taken) = self.protocol.take_answers(&self.input)?;
        self.input.drain(..taken);
        Ok(answers)
    }
}

impl<S: LoadProtocol> Contender for Generator<S> {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        let mut space = vec![0; READ_BYTES];
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 256];
        let (mut to_ask, mut to_answer) = (self.requests, self.requests);
        let began = Instant::now();
        for client in &mut self.clients {
            let requests = self.depth.min(to_ask);
            client.ask(requests)?;
            to_ask -= requests;
        }
        while to_answer > 0 {
            let (ready, _) = epoll::wait(&self.epoll, &mut events, None)?;
            for event in ready {
                let client = &mut self.clients[event.data.u64() as usize];
                let answers = client.read(&mut space)?;
                to_answer -= answers;
                let requests = answers.min(to_ask);
                if requests > 0 {
                    client.ask(requests)?;
                    to_ask -= requests;
                }
            }
        }
        samples.record_many(began.elapsed(), self.requests as u64);
        Ok(())
    }
}
