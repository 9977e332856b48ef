//! `ModifySettings` (spec sections 5.10 and 6): adds, removes or updates one resource.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Empty, Request};
use crate::MessageType;

/// Changes one resource of the VM, or of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ModifySettings {
    /// The change, as a plain object.
    pub request: ModifyRequest,
}

/// The change. Both names stay text, so that an unknown one can be answered with its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ModifyRequest {
    /// A [`RequestType`]; empty means `Add`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_type: String,
    /// A [`ResourceType`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_type: String,
    /// The resource's own settings: one of the types in [`crate::settings`].
    #[serde(skip_serializing_if = "Value::is_null")]
    pub settings: Value,
}

/// What to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestType {
    /// The default.
    Add,
    /// Take away.
    Remove,
    /// Change in place.
    Update,
}

impl RequestType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Remove => "Remove",
            Self::Update => "Update",
        }
    }

    /// The type of that name; the empty name is [`RequestType::Add`].
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::Add),
            _ => [Self::Add, Self::Remove, Self::Update].into_iter().find(|kind| kind.as_str() == name),
        }
    }
}

macro_rules! resource_types {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The resources that a Linux guest knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ResourceType { $($(#[$doc])* $name,)* }

        impl ResourceType {
            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The resource of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                [$(Self::$name,)*].into_iter().find(|kind| kind.as_str() == name)
            }
        }
    };
}

resource_types! {
    /// A SCSI disk and where it is mounted.
    MappedVirtualDisk,
    /// A SCSI device that is about to be unplugged.
    SCSIDevice,
    /// A 9P share.
    MappedDirectory,
    /// A persistent-memory device, or a part of one.
    VPMemDevice,
    /// An overlay of layers and a scratch directory.
    CombinedLayers,
    /// A network adapter.
    Network,
    /// An assigned PCI device.
    VPCIDevice,
    /// A container's resource limits.
    ContainerConstraints,
    /// A confidential-computing policy.
    SecurityPolicy,
    /// A part of such a policy.
    SecurityPolicyFragment,
    /// The limit of all containers together, after the VM's memory has changed.
    PodCgroupMemoryLimit,
}

impl Request for ModifySettings {
    const TYPE: MessageType = MessageType::MODIFY_SETTINGS;
    type Response = Empty;
}
