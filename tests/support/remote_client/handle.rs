//! A remote client, as its test sees it.

use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use client::Result;
use rustix::process::Signal;
use sys::poll::is_readable_within;

use super::client_process::follow_orders;
use super::framing::{CONNECT_LATER, read, write};
use super::order::{ClientOrder, EventOrder};
use super::report::{ClientReport, HeldGrant};
use crate::support::{ManagerProgram, eventually, helper, kill, state};

/// How long an order may take: the longest is thousands of round trips.
const REPORT_TIME_MAX: Duration = Duration::from_secs(60);

/// A remote client, which ends with its test.
pub(crate) struct RemoteClient {
    child: Child,
    /// None once it gets no more orders.
    orders: Option<ChildStdin>,
    reports: ChildStdout,
}

impl RemoteClient {
    /// Starts one that is connected to this manager.
    pub(crate) fn start(program: &ManagerProgram) -> RemoteClient {
        RemoteClient::start_with(helper::command(follow_orders).arg(&program.socket)).unwrap()
    }

    /// Starts one that has opened an event.
    pub(crate) fn with_event(program: &ManagerProgram, name: &str, auto_reset: bool) -> RemoteClient {
        let mut client = RemoteClient::start(program);
        client.does(EventOrder::Open { name: name.to_owned(), auto_reset });
        client
    }

    /// Starts one whose only connection is that of the proxy in its first order.
    pub(crate) fn with(order: impl Into<ClientOrder>) -> RemoteClient {
        let mut client = RemoteClient::start_with(helper::command(follow_orders).arg(CONNECT_LATER)).unwrap();
        client.does(order);
        client
    }

    /// Starts one with this command, and returns when it has connected, or has failed to.
    pub(crate) fn start_with(command: &mut Command) -> Result<RemoteClient> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, reports) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut client = RemoteClient { child, orders, reports };
        assert_eq!(client.report()?, ClientReport::Done);
        Ok(client)
    }

    /// Gives an order.
    pub(crate) fn tell(&mut self, order: impl Into<ClientOrder>) {
        write(self.orders.as_mut().unwrap(), &order.into());
    }

    /// The report on the last order.
    pub(crate) fn report(&mut self) -> Result<ClientReport> {
        let is_readable = is_readable_within(&self.reports, REPORT_TIME_MAX).unwrap();
        assert!(is_readable, "the remote client does not finish its order");
        read(&mut self.reports).expect("the remote client has ended")
    }

    /// Gives an order, and waits until it is done. The proxies in it keep their objects until then.
    pub(crate) fn ask(&mut self, order: impl Into<ClientOrder>) -> Result<ClientReport> {
        let order = order.into();
        write(self.orders.as_mut().unwrap(), &order);
        self.report()
    }

    /// Gives an order that must succeed.
    pub(crate) fn does(&mut self, order: impl Into<ClientOrder>) {
        assert_eq!(self.ask(order), Ok(ClientReport::Done));
    }

    /// Gives an order by which it takes something, at once or when the wait is over.
    pub(crate) fn takes(&mut self, order: impl Into<ClientOrder>) -> HeldGrant {
        held(self.ask(order))
    }

    /// What it has taken by the last order.
    pub(crate) fn has_taken(&mut self) -> HeldGrant {
        held(self.report())
    }

    /// Has it wait for its event. When this returns, the wait has reached the manager.
    pub(crate) fn begin_wait(&mut self) {
        self.does(EventOrder::Begin);
        self.tell(EventOrder::Finish);
    }

    /// The process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Suspends it, so that it does nothing until it is continued or killed.
    pub(crate) fn stop(&self) {
        kill(self.process(), Signal::STOP);
        let folder = format!("/proc/{}", self.process());
        eventually("it is stopped", || state(folder.as_ref()) == Some('T'));
    }

    /// Continues it after [`stop`](Self::stop).
    pub(crate) fn go_on(&self) {
        kill(self.process(), Signal::CONT);
    }

    /// Kills it, and waits until it is gone. Returns its process id.
    pub(crate) fn kill(mut self) -> u32 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.process()
    }

    /// Has it end by a panic, and waits until it is gone.
    pub(crate) fn panic(mut self) {
        self.tell(ClientOrder::Panic);
        assert!(!self.child.wait().unwrap().success());
    }

    /// Lets it end in order, which drops what it holds. Returns its process id.
    pub(crate) fn end(mut self) -> u32 {
        self.orders = None;
        assert!(self.child.wait().unwrap().success());
        self.process()
    }
}

impl Drop for RemoteClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn held(report: Result<ClientReport>) -> HeldGrant {
    match report {
        Ok(ClientReport::Held(Some(held))) => held,
        report => panic!("it was to take something: {report:?}"),
    }
}
