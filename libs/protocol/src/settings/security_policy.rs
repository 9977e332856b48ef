//! `SecurityPolicy` and `SecurityPolicyFragment` (spec sections 6.10 and 15).

use serde::{Deserialize, Serialize};

/// A policy for a confidential VM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SecurityPolicy {
    /// `open_door`, `rego`, …; empty chooses by the policy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub enforcer_type: String,
    /// Base64 text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub encoded_security_policy: String,
    /// Base64 of a signed measurement document.
    #[serde(rename = "EncodedUVMReference", skip_serializing_if = "String::is_empty")]
    pub encoded_uvm_reference: String,
}

/// A signed part of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SecurityPolicyFragment {
    /// Base64 of a `COSE_Sign1` document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fragment: String,
    /// What kind of fragment.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub media_type: String,
}
