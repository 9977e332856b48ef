//! `SecurityPolicy` (spec section 6.10): without a policy engine only the policy that allows everything can be kept.

use std::rc::Rc;

use lcow_protocol::settings::SecurityPolicy;

use super::fail;
use crate::bridge::Failure;
use crate::gcs::Agent;

pub(super) async fn set(agent: Rc<Agent>, policy: SecurityPolicy) -> Result<(), Failure> {
    if agent.policy_set.get() {
        return Err(fail("security policy has already been set"));
    }
    let open = policy.encoded_security_policy.is_empty()
        && matches!(policy.enforcer_type.as_str(), "" | "open_door");
    if !open {
        return Err(fail("this agent has no policy engine and cannot enforce the policy"));
    }
    agent.policy_set.set(true);
    Ok(())
}
