//! Counts: how often a run makes each input, request and target, and gets each effect, answer and refusal. What the
//! page names and no run ever makes is not compared.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write};

use manager_core::{Effect, Input};
use protocol::{Grant, Outcome, Reply, Request, RequestId, SessionId};

const PAGE: &str = include_str!("../../../../../protocol/PROTOCOL.md");

/// What the page names and the core leaves to its driver.
const OF_THE_DRIVER: [&str; 6] = [
    "request Goodbye",
    "refusal Share LimitReached",
    "refusal BindProcesses BadArgument",
    "refusal BindProcesses LimitReached",
    "refusal BlobFetch LimitReached",
    "refusal BlobRead LimitReached",
];

/// How often each thing came.
#[derive(Default)]
pub(crate) struct Counts {
    counts: BTreeMap<String, u64>,
    /// What each request that was not answered is.
    requests: BTreeMap<(SessionId, RequestId), String>,
}

impl Counts {
    /// Counts an input and its effects.
    pub(crate) fn note(&mut self, input: &Input<'_>, effects: &[Effect]) {
        self.add(format!("input {}", name(input)));
        match input {
            Input::Request { session, envelope } => {
                let request = name(&envelope.body);
                self.requests.insert((*session, envelope.request), request.clone());
                self.add(format!("request {request}"));
                self.note_parts(&envelope.body);
            }
            Input::BlobArrived { session, arrival } => {
                self.requests.insert((*session, arrival.request), "BlobSend".into());
                self.add("request BlobSend".into());
            }
            Input::SessionEnded { ending, .. } => self.add(format!("ending {ending:?}")),
            _ => {}
        }
        effects.iter().for_each(|effect| self.note_effect(effect));
    }

    fn note_parts(&mut self, body: &Request<'_>) {
        match body {
            Request::Wait { targets, mode, .. } | Request::SignalAndWait { targets, mode, .. } => {
                for target in targets {
                    let mode = if targets.len() == 1 { "alone".into() } else { format!("in {mode:?}") };
                    self.add(format!("target {} {mode}", name(target)));
                }
            }
            Request::CallsEnd { ends, .. } => {
                ends.iter().for_each(|end| self.add(format!("report {}", name(&end.outcome))));
            }
            _ => {}
        }
        if let Request::SignalAndWait { signal, .. } = body {
            self.add(format!("signal {}", name(signal)));
        }
    }

    fn note_effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Reply { session, request, reply } => {
                let request = self.requests.remove(&(*session, *request)).unwrap_or_default();
                match reply {
                    Reply::Refused(refusal) => self.add(format!("refusal {request} {:?}", refusal.code)),
                    reply => self.add(format!("answer {request} {}", name(reply))),
                }
                if let Reply::Taken(taken) = reply {
                    taken.grants.iter().for_each(|grant| self.note_grant(grant));
                }
            }
            Effect::Blob(effect) => self.add(format!("effect Blob {}", name(effect))),
            Effect::Drop { refusal, .. } => self.add(format!("effect Drop {:?}", refusal.code)),
            effect => self.add(format!("effect {}", name(effect))),
        }
    }

    fn note_grant(&mut self, grant: &Grant) {
        self.add(format!("grant {}", name(grant)));
        if let Grant::Results(results) = grant {
            for result in &results.results {
                self.add(match &result.outcome {
                    Outcome::Failed(failure) => format!("outcome Failed {:?}", failure.kind),
                    outcome => format!("outcome {}", name(outcome)),
                });
            }
        }
    }

    fn add(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub(crate) fn append(&mut self, other: Counts) {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// All counts, and the requests, targets, grants and refusals of the page that never came.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        for (what, count) in &self.counts {
            let _ = writeln!(text, "{count:>12}  {what}");
        }
        for named in named_on_the_page() {
            let is_it = |what: &String| {
                *what == named || what.strip_prefix(&named).is_some_and(|rest| rest.starts_with(' '))
            };
            if !self.counts.keys().any(is_it) && !OF_THE_DRIVER.contains(&named.as_str()) {
                let _ = writeln!(text, "{:>12}  {named}", "never");
            }
        }
        text
    }
}

/// What the tables of the page name: requests with their refusals, targets, signals, grants and outcomes.
fn named_on_the_page() -> Vec<String> {
    let mut named = Vec::new();
    let mut table = "";
    for line in PAGE.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.len() < 4 {
            table = "";
            continue;
        }
        let code = |cell: &str| cell.trim_matches('`').to_string();
        match (cells[1], cells[2]) {
            ("number", "`Request`") => table = "request",
            ("number", "`Target`") => table = "target",
            ("number", "`Signal`") => table = "signal",
            ("number", "`Grant`") => table = "grant",
            ("number", "`FailureKind`") => table = "outcome Failed",
            ("number", _) => table = "",
            ("---", _) => {}
            _ if table.is_empty() => {}
            (_, variant) => {
                let variant = code(variant);
                named.push(format!("{table} {variant}"));
                if table == "request" {
                    let refusals = cells[5].split(", ").filter(|refusal| refusal.starts_with('`'));
                    named.extend(refusals.map(|refusal| format!("refusal {variant} {}", code(refusal))));
                }
            }
        }
    }
    named
}

/// The name of a variant.
fn name(value: &impl Debug) -> String {
    let mut first = FirstWord(String::new());
    // It fails as soon as the word has ended.
    let _ = write!(first, "{value:?}");
    first.0
}

struct FirstWord(String);

impl Write for FirstWord {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(|character: char| !character.is_alphanumeric()).unwrap_or(text.len());
        self.0.push_str(&text[..end]);
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
