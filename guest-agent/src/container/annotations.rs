//! Annotations of a specification (spec section 7.2 and appendix A). All values are texts.

use serde_json::Value;

/// Whether a container is a pod's sandbox or one of its workloads.
pub(super) const TYPE: &str = "io.kubernetes.cri.container-type";
/// The pod of a workload.
pub(super) const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";
/// The pod, where a VM has several.
pub(super) const VIRTUAL_POD_ID: &str = "io.microsoft.cri.virtual-pod-id";
/// A pod without a network of its own.
pub(super) const SKIP_NETWORKING: &str = "io.microsoft.cri.skip-pod-networking";
/// `soft;hard`, in bytes.
pub(super) const CORE_LIMIT: &str = "io.microsoft.lcow.rlimitcore";
/// Size of `/dev/shm` in KiB.
pub(super) const SHM_SIZE: &str = "io.microsoft.lcow.shm.size-kb";
/// Every device of the VM.
pub(super) const PRIVILEGED: &str = "io.microsoft.virtualmachine.lcow.privileged";
/// The VM's own network.
pub(super) const HOST_NETWORK: &str = "io.microsoft.virtualmachine.lcow.hostnetwork";
/// File below the pod's logs that gets init's output as well.
pub(super) const TEE_PATH: &str = "io.microsoft.container.lcow.tee-log-path";
/// Where the pod's logs are mounted.
pub(super) const TEE_MOUNT: &str = "io.microsoft.container.lcow.tee-log-dir-mount";
/// What a container may do with its GPUs, with commas between.
pub(super) const GPU_CAPABILITIES: &str = "io.microsoft.container.gpu.capabilities";

/// The annotation `key`; the empty text counts as absent.
pub(super) fn text<'a>(spec: &'a Value, key: &str) -> Option<&'a str> {
    spec["annotations"][key].as_str().filter(|text| !text.is_empty())
}

/// The annotation `key` as a truth value; what is none is the default, `false`.
pub(super) fn flag(spec: &Value, key: &str) -> bool {
    // The words that hosts write and read.
    matches!(text(spec, key), Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// Whether the annotation `key` is the word `true`, in any case.
pub(super) fn says_true(spec: &Value, key: &str) -> bool {
    text(spec, key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
}
