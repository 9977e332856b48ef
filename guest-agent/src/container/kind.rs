//! Which kind of container a specification asks for (spec section 7.2).

use serde_json::Value;

use super::{Error, annotations};

/// The kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first container of a pod; carries what the others share.
    Sandbox {
        /// The pod's id.
        pod: String,
        /// Whether the VM has several pods.
        is_virtual: bool,
    },
    /// A further container of a pod.
    Workload {
        /// The pod's id.
        pod: String,
    },
    /// A container without a pod.
    Standalone,
}

impl Kind {
    /// The kind of the container `id`.
    pub(super) fn of(id: &str, spec: &Value) -> Result<Self, Error> {
        let virtual_pod = annotations::text(spec, annotations::VIRTUAL_POD_ID);
        if let Some(pod) = virtual_pod.filter(|pod| *pod == id) {
            return Ok(Self::Sandbox { pod: pod.to_owned(), is_virtual: true });
        }
        match annotations::text(spec, annotations::TYPE) {
            None => Ok(Self::Standalone),
            Some("sandbox") => {
                let pod = virtual_pod.unwrap_or(id).to_owned();
                Ok(Self::Sandbox { pod, is_virtual: virtual_pod.is_some() })
            }
            Some("container") => {
                let pod = virtual_pod.or_else(|| annotations::text(spec, annotations::SANDBOX_ID));
                let none = || Error::Invalid(format!("workload container {id} names no pod"));
                Ok(Self::Workload { pod: pod.ok_or_else(none)?.to_owned() })
            }
            Some(other) => Err(Error::Invalid(format!("unknown container type {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(annotations: &Value) -> Option<Kind> {
        Kind::of("me", &json!({"annotations": annotations})).ok()
    }

    #[test]
    fn annotations_tell_the_kind() {
        let [kind_of, sandbox, virtual_pod] =
            [annotations::TYPE, annotations::SANDBOX_ID, annotations::VIRTUAL_POD_ID];
        let pod = |pod: &str, is_virtual| Some(Kind::Sandbox { pod: pod.into(), is_virtual });
        let workload = |pod: &str| Some(Kind::Workload { pod: pod.into() });
        assert_eq!(kind(&json!({})), Some(Kind::Standalone));
        assert_eq!(Kind::of("me", &json!({})).unwrap(), Kind::Standalone);
        assert_eq!(kind(&json!({kind_of: "sandbox"})), pod("me", false));
        assert_eq!(kind(&json!({kind_of: "container", sandbox: "p"})), workload("p"));
        assert_eq!(kind(&json!({kind_of: "container", sandbox: "p", virtual_pod: "v"})), workload("v"));
        assert_eq!(kind(&json!({kind_of: "container", virtual_pod: "me"})), pod("me", true));
        assert_eq!(kind(&json!({kind_of: "container"})), None);
        assert_eq!(kind(&json!({kind_of: "podling"})), None);
    }
}
