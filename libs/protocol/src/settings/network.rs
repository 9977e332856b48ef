//! `Network` (spec section 6.6).

use serde::{Deserialize, Serialize};

use crate::json::is_default;

/// A network adapter and its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Network {
    /// Namespace GUID; compared lower-cased.
    #[serde(rename = "NamespaceID", skip_serializing_if = "String::is_empty")]
    pub namespace_id: String,
    /// Adapter GUID: the name of its VMBus device.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// `00-15-5D-…`; finds the adapter where there is no VMBus.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Search list, separated by commas.
    #[serde(rename = "DNSSuffix", skip_serializing_if = "String::is_empty")]
    pub dns_suffix: String,
    /// Name servers, separated by commas.
    #[serde(rename = "DNSServerList", skip_serializing_if = "String::is_empty")]
    pub dns_server_list: String,
    /// Bytes to take off the MTU.
    #[serde(skip_serializing_if = "is_default")]
    pub encap_overhead: u16,
    /// The adapter is an assigned PCI device.
    #[serde(rename = "VPCIAssigned", skip_serializing_if = "is_default")]
    pub vpci_assigned: bool,
    /// Addresses.
    #[serde(rename = "IPConfigs", skip_serializing_if = "Vec::is_empty")]
    pub ip_configs: Vec<IpConfig>,
    /// Routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Give each further adapter its own routing table.
    #[serde(skip_serializing_if = "is_default")]
    pub policy_based_routing: bool,
    /// Prefer other adapters' routes.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_low_metric: bool,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IpConfig {
    /// IPv4 or IPv6.
    #[serde(rename = "IPAddress", skip_serializing_if = "String::is_empty")]
    pub ip_address: String,
    /// Bits of the network.
    #[serde(skip_serializing_if = "is_default")]
    pub prefix_length: u8,
}

/// One route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Route {
    /// Gateway; `0.0.0.0` or `::` means none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_hop: String,
    /// Address and prefix length.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination_prefix: String,
    /// Route metric; zero for the kernel's own.
    #[serde(skip_serializing_if = "is_default")]
    pub metric: u16,
}
