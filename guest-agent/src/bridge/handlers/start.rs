//! `Start` (spec section 5.3): always succeeds, even for an unknown id. The first `ExecuteProcess` starts.

use std::rc::Rc;

use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{Empty, Start};

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    _: Rc<Agent>,
    _: RequestBase,
    _: Start,
) -> Result<Reply<Empty>, Failure> {
    Ok(Empty {}.into())
}
