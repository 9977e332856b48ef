//! The bridge: one connection to the host at a time, redialled for ever (spec sections 3 and 12).

mod connection;
mod dispatch;
mod failure;
mod handlers;
mod outbound;
mod requests;
mod trace;

pub(crate) use connection::{Error, serve};
pub(crate) use failure::Failure;
pub(crate) use outbound::{Generation, Outbound, Waited};
pub(crate) use requests::Requests;
