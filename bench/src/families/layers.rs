//! Where the time of `is_set` goes: each layer on top of the bare ping-pong does one more thing that ours does.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::event::epoll;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::floors::{PingPong, frames};
use crate::peer;
use crate::pinning;
use crate::report::{Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::turns::{self, Contender, ContenderKey, Measurements, Samples, Turns};

/// How many calls a turn has.
const CALLS: usize = 500;

pub(super) fn measure(settings: &Settings, _missing: &Missing) -> Result<Vec<Row>> {
    let _pinned = pinning::to_first_core()?;
    let ([floor, epoll, client, ours], results) =
        turns::afresh(settings.pick(6, 3), || take_turns(settings))?;
    let layers = [
        ("layers_epoll", "ping-pong, the server waits with epoll", epoll),
        ("layers_client", "and the client asks for its id each time", client),
        ("layers_is_set", "and the codec, the core, many callers: is_set()", ours),
    ];
    let row = |(name, what, key): (&'static str, &str, ContenderKey)| {
        let row = Row::new(name, what, Unit::Microseconds, ONE_CORE);
        row.floor(&results[floor]).ours(&results[key]).value_is(Bound::OursToFloor)
    };
    Ok(layers.into_iter().map(row).collect())
}

fn take_turns(settings: &Settings) -> Result<([ContenderKey; 4], Measurements)> {
    let server = MeasuredManager::start(settings)?;
    let event = server.connect()?.anonymous_event()?;
    let mut turns = Turns::new();
    let floor = turns.add(PingPong::start(CALLS)?);
    let epoll = turns.add(Layer::start(LayerClient::Plain)?);
    let client = turns.add(Layer::start(LayerClient::AsOurs)?);
    let ours = turns.add(|samples: &mut Samples| {
        samples.time(CALLS, || {
            ensure!(!event.is_set()?, "nobody has set this event");
            Ok(())
        })
    });
    Ok(([floor, epoll, client, ours], turns.run(settings.pick(30, 6))?))
}

/// What the client of a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LayerClient {
    /// It writes and reads.
    Plain,
    /// It makes the system calls that ours makes.
    AsOurs,
}

/// A ping-pong with a server that makes the system calls of the manager.
struct Layer {
    /// Given up first, by which the other side ends.
    socket: Option<UnixStream>,
    other: Child,
    request: Vec<u8>,
    reply: Vec<u8>,
    client: LayerClient,
}

impl Layer {
    fn start(client: LayerClient) -> Result<Layer> {
        let (request, reply) = frames()?;
        let (socket, other) = UnixStream::pair()?;
        let other = peer::copy_of_this_program("layers")?
            .arg(reply.len().to_string())
            .stdin(Stdio::from(OwnedFd::from(other)))
            .spawn()?;
        Ok(Layer { socket: Some(socket), other, request, reply, client })
    }
}

impl Contender for Layer {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        let socket = self.socket.as_mut().context("it is open until the end")?;
        samples.time(CALLS, || {
            if self.client == LayerClient::Plain {
                socket.write_all(&self.request)?;
                return Ok(socket.read_exact(&mut self.reply)?);
            }
            ensure!(std::process::id() > 0, "every process has an id");
            let sent = send(&*socket, &self.request, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
            let (_, received) = recv(&*socket, &mut self.reply[..], RecvFlags::empty())?;
            ensure!((sent, received) == (self.request.len(), self.reply.len()), "a frame was cut");
            Ok(())
        })
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        self.socket = None;
        peer::end(&mut self.other);
    }
}

/// In a role: the other side of a layer, on its standard input.
pub(super) fn answer(arguments: &[String]) -> Result<()> {
    let [reply_bytes] = arguments else { anyhow::bail!("a size is needed") };
    let (mut request, reply) = ([0; 4096], vec![0; reply_bytes.parse()?]);
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let wanted = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    epoll::add(&poll, &socket, epoll::EventData::new_u64(0), wanted)?;
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        if socket.read(&mut request)? == 0 {
            return Ok(());
        }
        send(&socket, &reply, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    }
}
