//! The VM's own network for a container (spec section 7.8, step 6).

use serde_json::Value;

/// Takes the network namespaces out of a specification.
pub(in crate::container) fn drop_network_namespace(spec: &mut Value) {
    if let Some(namespaces) = spec["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
}
