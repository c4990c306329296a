//! Contenders that take turns: what disturbs one disturbs all, so the ratio between them stays the same.

use std::ops::Index;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

/// Something to measure against others. It takes many short turns.
pub(crate) trait Contender {
    /// Takes one turn, and records the time of each operation.
    fn turn(&mut self, samples: &mut Samples) -> Result<()>;
}

impl<F: FnMut(&mut Samples) -> Result<()>> Contender for F {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        self(samples)
    }
}

/// How long operations took, in picoseconds, since some take less than a nanosecond.
pub(crate) struct Samples(Histogram<u64>);

impl Samples {
    fn new() -> Samples {
        Samples(Histogram::new(3).expect("three digits are allowed"))
    }

    /// Records one operation.
    pub(crate) fn record(&mut self, time: Duration) {
        self.record_many(time, 1);
    }

    /// Records the mean time of several operations that took this long together, as one sample.
    pub(crate) fn record_many(&mut self, time: Duration, operations: u64) {
        let picoseconds = time.as_nanos() as f64 * 1000.0 / operations as f64;
        self.0.record((picoseconds.round() as u64).max(1)).expect("a histogram grows with what it is given");
    }

    /// Makes this number of calls, and records each.
    pub(crate) fn time(&mut self, calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<()> {
        for _ in 0..calls {
            let began = Instant::now();
            call()?;
            self.record(began.elapsed());
        }
        Ok(())
    }

    /// The time at this quantile, in nanoseconds.
    fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// The times of one contender.
pub(crate) struct Measured {
    /// The median of each turn, in nanoseconds.
    pub(crate) turns: Vec<f64>,
    /// The samples of all turns.
    all: Samples,
}

impl Measured {
    /// The time that one operation of a hundred exceeded, in nanoseconds.
    pub(crate) fn p99(&self) -> f64 {
        self.all.at(0.99)
    }
}

/// Identifies a contender.
#[derive(Clone, Copy)]
pub(crate) struct ContenderKey(usize);

/// The contenders that take turns.
#[derive(Default)]
pub(crate) struct Turns<'a> {
    contenders: Vec<Box<dyn Contender + 'a>>,
}

impl<'a> Turns<'a> {
    /// No contenders yet.
    pub(crate) fn new() -> Turns<'a> {
        Turns::default()
    }

    /// Adds a contender.
    pub(crate) fn add(&mut self, contender: impl Contender + 'a) -> ContenderKey {
        self.contenders.push(Box::new(contender));
        ContenderKey(self.contenders.len() - 1)
    }

    /// Adds a contender, if there is one.
    pub(crate) fn add_if(&mut self, contender: Option<impl Contender + 'a>) -> Option<ContenderKey> {
        contender.map(|contender| self.add(contender))
    }

    /// Has every contender take this many turns, after one that does not count. Each round begins with another
    /// contender.
    pub(crate) fn run(mut self, rounds: usize) -> Result<Measurements> {
        let count = self.contenders.len();
        let mut measured: Vec<_> =
            (0..count).map(|_| Measured { turns: Vec::new(), all: Samples::new() }).collect();
        for round in 0..=rounds {
            for number in (0..count).map(|number| (number + round) % count) {
                let mut samples = Samples::new();
                self.contenders[number].turn(&mut samples)?;
                if round > 0 {
                    measured[number].turns.push(samples.at(0.5));
                    measured[number].all.0.add(&samples.0)?;
                }
            }
        }
        Ok(Measurements(measured))
    }
}

/// The times of all contenders.
pub(crate) struct Measurements(Vec<Measured>);

/// Measures this many times, each time with new processes, and takes the turns of all. Where the kernel happens to put
/// the memory of a process shifts all of its turns alike, and would look like a difference.
pub(crate) fn afresh<K>(
    times: usize,
    measure: impl Fn() -> Result<(K, Measurements)>,
) -> Result<(K, Measurements)> {
    let (keys, mut results) = measure()?;
    for _ in 1..times {
        let (_, others) = measure()?;
        for (measured, other) in results.0.iter_mut().zip(others.0) {
            measured.turns.extend(other.turns);
            measured.all.0.add(&other.all.0)?;
        }
    }
    Ok((keys, results))
}

impl Index<ContenderKey> for Measurements {
    type Output = Measured;

    fn index(&self, ContenderKey(number): ContenderKey) -> &Measured {
        &self.0[number]
    }
}
