//! A client in a process of its own, which follows the orders of a test, one after the other.
//!
//! It blocks in an order as any program would. Proxies travel to it in its orders, and the test keeps its own proxies
//! until an order is done. Orders and reports are frames over its standard input and output.

pub(crate) use client_process::follow_orders;
pub(crate) use handle::RemoteClient;
pub(crate) use order::{
    BarrierAction, BarrierOrder, ClientOrder, ConditionOrder, EventOrder, LatchOrder, LockOrder, QueueOrder,
    SemaphoreOrder,
};
pub(crate) use report::{ClientReport, HeldGrant, Setter};

mod client_process;
mod framing;
mod handle;
mod order;
mod report;
