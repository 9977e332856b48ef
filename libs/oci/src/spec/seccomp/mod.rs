//! System calls that containers may make.
//!
//! The kernel's interface is large and a container needs the smaller, well-trodden part: everything about its own files,
//! memory, processes, time and sockets. What acts on the machine as a whole is left out, even where capabilities forbid
//! it too. The answer to calls that are known and refused is EPERM; to calls that nobody had heard of when this was
//! written it is ENOSYS, so that C libraries fall back to older ones (as runc arranges for Docker's profile).
mod allowed;
mod denied;

use serde_json::{Value, json};

pub use allowed::ALLOWED;
pub use denied::DENIED;

/// System calls with something in common.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Why they are in this list.
    pub reason: &'static str,
    /// Their names; those that a processor does not have are skipped by the runtime.
    pub names: &'static [&'static str],
}

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// `personality(2)`: Linux, Linux with 3 GB, the old kernel version number, both, and the question what is set.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Flags of `clone(2)` that make namespaces: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NAMESPACE_FLAGS: u32 = 0x7e02_0000;

/// Sockets to the hypervisor: on them the host and the guest agent talk, and network namespaces do not separate them.
const AF_VSOCK: u32 = 40;

/// `linux.seccomp` of the runtime spec.
pub fn profile() -> Value {
    let mut rules: Vec<Value> = ALLOWED.iter().map(|group| allow(group.names, &[])).collect();
    rules.extend(PERSONALITIES.map(|value| allow(&["personality"], &[argument(0, "SCMP_CMP_EQ", value)])));
    rules.push(allow(&["socket"], &[argument(0, "SCMP_CMP_NE", AF_VSOCK)]));
    rules.push(refuse(&["socket"], EPERM, &[argument(0, "SCMP_CMP_EQ", AF_VSOCK)]));
    let mut no_namespaces = argument(0, "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS);
    no_namespaces["valueTwo"] = json!(0);
    rules.push(allow(&["clone"], &[no_namespaces]));
    // One rule for each flag: a filter can compare masked bits, but not ask whether any is set.
    for flag in (0..32).map(|bit| 1u32 << bit).filter(|flag| flag & NAMESPACE_FLAGS != 0) {
        let mut set = argument(0, "SCMP_CMP_MASKED_EQ", flag);
        set["valueTwo"] = json!(flag);
        rules.push(refuse(&["clone"], EPERM, &[set]));
    }
    // Its flags are in memory, where a filter cannot look; without it, libraries use clone.
    rules.push(refuse(&["clone3"], ENOSYS, &[]));
    rules.extend(DENIED.iter().map(|group| refuse(group.names, EPERM, &[])));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    })
}

fn allow(names: &[&str], arguments: &[Value]) -> Value {
    with_arguments(json!({ "names": names, "action": "SCMP_ACT_ALLOW" }), arguments)
}

fn refuse(names: &[&str], error: u32, arguments: &[Value]) -> Value {
    with_arguments(json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error }), arguments)
}

fn with_arguments(mut rule: Value, arguments: &[Value]) -> Value {
    if !arguments.is_empty() {
        rule["args"] = json!(arguments);
    }
    rule
}

fn argument(index: u32, operator: &str, value: u32) -> Value {
    json!({ "index": index, "op": operator, "value": value })
}
