//! `ContainerConstraints` (spec section 6.8): new limits for one container.

use lcow_protocol::json;
use lcow_protocol::settings::ContainerConstraints;
use serde_json::Value;

use super::fail;
use crate::bridge::Failure;
use crate::container::Container;

pub(super) fn update(container: &Container, raw: &Value) -> Result<(), Failure> {
    let settings: ContainerConstraints = json::decode("Settings", raw)?;
    container.cgroup().limit(&settings.linux).map_err(|error| fail(crate::causes::with_causes(&error)))
}
