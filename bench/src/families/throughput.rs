//! Many clients at once: requests a second, beside Redis with as many.

use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use protocol::{Answer, Envelope, ObjectId, OpenMode, Reply, Request, RequestId, Spec, append_frame};
use uuid::Uuid;

use super::bare_server::BareServer;
use crate::generator::{Generator, LoadProtocol};
use crate::pinning;
use crate::report::{A_CORE_EACH, Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::rivals::redis::{Get, Redis};
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::turns::{ContenderKey, Measurements, Turns};
use crate::wire::WireSession;

/// How many clients there are.
const CLIENTS: usize = 50;

/// How many requests each client keeps in flight, if it is more than one.
const DEPTH: usize = 16;

/// How many requests a turn has.
const REQUESTS: usize = 20_000;

pub(super) fn measure(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let pinned = pinning::to_first_core()?;
    let server = MeasuredManager::start(settings)?;
    let bare = BareServer::start()?;
    let redis = missing.check("Redis", Redis::start());
    let rounds = settings.pick(30, 9);

    let mut rows = measure_depths(&server, &bare, redis.as_ref(), rounds)?.rows(
        ONE_CORE,
        ["clients_50", "clients_50_in_flight_16"],
        Some(1.0 / 1.3),
    );
    drop(pinned);
    // The servers stay on their core.
    let Some(_pinned) = pinning::to_second_core()? else { return Ok(rows) };
    rows.extend(measure_depths(&server, &bare, redis.as_ref(), rounds)?.rows(
        A_CORE_EACH,
        ["clients_50_two_cores", "clients_50_in_flight_16_two_cores"],
        None,
    ));
    Ok(rows)
}

/// The measurements with one and with many requests in flight.
struct DepthMeasurements {
    results: Measurements,
    floor: [ContenderKey; 2],
    ours: [ContenderKey; 2],
    redis: [Option<ContenderKey>; 2],
}

fn measure_depths(
    server: &MeasuredManager,
    bare: &BareServer,
    redis: Option<&Redis>,
    rounds: usize,
) -> Result<DepthMeasurements> {
    let mut turns = Turns::new();
    let mut add = |depth| -> Result<(ContenderKey, ContenderKey, Option<ContenderKey>)> {
        let floor = (0..CLIENTS).map(|_| bare.connect()).collect::<Result<_>>()?;
        let floor = turns.add(Generator::new(floor, depth, REQUESTS)?);
        let ours = turns.add(Generator::new(ours(server)?, depth, REQUESTS)?);
        let redis = redis.map(|redis| Generator::new(gets(redis)?, depth, REQUESTS)).transpose()?;
        Ok((floor, ours, turns.add_if(redis)))
    };
    let (one, many) = (add(1)?, add(DEPTH)?);
    Ok(DepthMeasurements {
        results: turns.run(rounds)?,
        floor: [one.0, many.0],
        ours: [one.1, many.1],
        redis: [one.2, many.2],
    })
}

impl DepthMeasurements {
    fn rows(&self, pinning: &'static str, names: [&'static str; 2], goal: Option<f64>) -> Vec<Row> {
        let whats = ["50 clients, is_set in a closed loop", "50 clients, 16 is_set in flight each"];
        let row = |number: usize| {
            let row = Row::new(names[number], whats[number], Unit::PerSecond, pinning)
                .floor(&self.results[self.floor[number]])
                .ours(&self.results[self.ours[number]])
                .rival("Redis GET", self.redis[number].map(|redis| &self.results[redis]));
            match goal {
                Some(goal) => row.at_most(Bound::RivalToOurs, goal),
                None => row.value_is(Bound::RivalToOurs),
            }
        };
        vec![row(0), row(1)]
    }
}

fn ours(server: &MeasuredManager) -> Result<Vec<(UnixStream, IsSet)>> {
    (0..CLIENTS).map(|_| IsSet::connect(server)).collect()
}

fn gets(redis: &Redis) -> Result<Vec<(UnixStream, Get)>> {
    (0..CLIENTS).map(|_| Ok((redis.connect()?.into_socket(), Get))).collect()
}

/// A client that asks us again and again.
struct IsSet {
    /// What is the same in each request, which makes it cost no more here than a constant command of Redis does.
    body: Vec<u8>,
    /// The number of the last request.
    requests: u64,
    /// How many answers have come.
    received: u64,
    /// The last bytes of an answer that says that the event is not set.
    tail: Vec<u8>,
}

impl IsSet {
    fn connect(server: &MeasuredManager) -> Result<(UnixStream, IsSet)> {
        let mut session = WireSession::connect(server.socket())?;
        let event = ObjectId(Uuid::new_v4());
        let opened = session.call(Request::Open {
            id: event,
            name: None,
            spec: Spec::Event { auto_reset: false },
            mode: OpenMode::CreateNew,
        })?;
        ensure!(matches!(opened, Reply::Opened { created: true, .. }), "a new event is made");
        let mut answer = Vec::new();
        append_frame(&mut answer, &Answer { request: RequestId(0), body: Reply::Flag(false) })?;
        // The length and the number of the request come before it.
        let tail = answer.split_off(5);
        let request = Request::EventIsSet { id: event };
        let mut envelope = Vec::new();
        append_frame(&mut envelope, &Envelope { request: RequestId(0), received: 0, body: request })?;
        // The length and the two numbers come before it.
        let body = envelope.split_off(6);
        let asks = IsSet { body, requests: 1, received: 1, tail };
        asks.check(event)?;
        Ok((session.into_socket(), asks))
    }
}

impl IsSet {
    /// Appends a request with these numbers.
    fn append(&self, request: u64, received: u64, output: &mut Vec<u8>) -> Result<()> {
        let at = output.len();
        output.extend_from_slice(&[0; 4]);
        append_number(request, output);
        append_number(received, output);
        output.extend_from_slice(&self.body);
        let bytes = u32::try_from(output.len() - at - 4)?;
        output[at..at + 4].copy_from_slice(&bytes.to_le_bytes());
        Ok(())
    }

    /// Fails if the requests are not what a client sends.
    fn check(&self, event: ObjectId) -> Result<()> {
        for (request, received) in [(1, 0), (127, 126), (128, 127), (1 << 40, (1 << 40) - 1)] {
            let body = Request::EventIsSet { id: event };
            let (mut expected, mut appended) = (Vec::new(), Vec::new());
            append_frame(&mut expected, &Envelope { request: RequestId(request), received, body })?;
            self.append(request, received, &mut appended)?;
            ensure!(appended == expected, "a request of the load is not what a client sends");
        }
        Ok(())
    }
}

/// Appends a number as messages have it: seven bits in each byte, the lowest first.
fn append_number(mut number: u64, output: &mut Vec<u8>) {
    while number > 0x7f {
        output.push(number as u8 | 0x80);
        number >>= 7;
    }
    output.push(number as u8);
}

impl LoadProtocol for IsSet {
    fn ask(&mut self, output: &mut Vec<u8>) -> Result<()> {
        self.requests += 1;
        self.append(self.requests, self.received, output)
    }

    fn take_answers(&mut self, input: &[u8]) -> Result<(usize, usize)> {
        let (mut answers, mut taken) = (0, 0);
        while let Some((length, rest)) = input[taken..].split_first_chunk() {
            let bytes = u32::from_le_bytes(*length) as usize;
            let Some(body) = rest.get(..bytes) else { break };
            ensure!(body.ends_with(&self.tail), "the manager does not answer that the event is not set");
            answers += 1;
            taken += length.len() + bytes;
        }
        self.received += u64::try_from(answers).context("it is small")?;
        Ok((answers, taken))
    }
}
