//! `SecurityPolicyFragment` (spec section 6.10): parts of policies that this agent cannot enforce.

use std::rc::Rc;

use lcow_protocol::settings::SecurityPolicyFragment;

use super::fail;
use crate::bridge::Failure;
use crate::gcs::Agent;

pub(super) async fn inject(_: Rc<Agent>, _: SecurityPolicyFragment) -> Result<(), Failure> {
    Err(fail("this agent has no policy engine and cannot take fragments of policies"))
}
