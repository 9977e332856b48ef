//! System call filters: OCI profiles compiled by libseccomp, once each, and loaded by the executor.
//!
//! libcontainer would compile a profile anew in every process, which under emulation takes as long as everything
//! else together; it forgets the profile for execs; and it swaps mask and value of `SCMP_CMP_MASKED_EQ`, so that
//! the usual rule against `clone` with namespace flags would let every `clone` through.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Seek};
use std::rc::Rc;
use std::str::FromStr;

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::Value;

/// Profiles that are kept compiled. A host uses one or two.
const KEPT: usize = 16;
/// Searches the rules as a tree instead of one after the other.
const BINARY_TREE: u32 = 2;

/// A profile that cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Something in it is not what the OCI specification allows.
    #[error("the seccomp profile's {what} {value} is not valid")]
    Invalid {
        /// Which part.
        what: &'static str,
        /// What stands there.
        value: String,
    },
    /// It asks for something that this agent does not do.
    #[error("SCMP_ACT_NOTIFY is not supported: there is no listener in the VM")]
    Notify,
    /// libseccomp refused.
    #[error("compiling the seccomp profile")]
    Library(#[from] SeccompError),
    /// The file that it is exported through.
    #[error("exporting the compiled seccomp profile")]
    Export(#[from] std::io::Error),
    /// A defect of ours.
    #[error("compiling the seccomp profile failed; see the agent's log")]
    Panicked,
}

/// A compiled filter.
#[derive(Debug)]
pub(crate) struct Filter {
    /// `struct sock_filter` after `struct sock_filter`.
    pub(crate) program: Vec<u8>,
    /// Flags for `seccomp(2)`.
    pub(crate) flags: u32,
}

/// Filters by the profile that they were compiled from.
#[derive(Debug, Default)]
pub(crate) struct Filters(RefCell<HashMap<u64, Rc<Filter>>>);

impl Filters {
    /// The filter for `profile`, a `linux.seccomp` object.
    pub(crate) async fn get(&self, profile: &Value) -> Result<Rc<Filter>, Error> {
        let text = profile.to_string();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let key = hasher.finish();
        if let Some(filter) = self.0.borrow().get(&key) {
            return Ok(Rc::clone(filter));
        }
        let profile = profile.clone();
        let compiled = tokio::task::spawn_blocking(move || compile(&profile)).await;
        let filter = Rc::new(compiled.unwrap_or(Err(Error::Panicked))?);
        let mut kept = self.0.borrow_mut();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Rc::clone(&filter));
        Ok(filter)
    }
}

/// Compiles a `linux.seccomp` object (OCI runtime specification, `config-linux.md`).
fn compile(profile: &Value) -> Result<Filter, Error> {
    let default = action(&profile["defaultAction"], &profile["defaultErrnoRet"])?;
    let mut context = ScmpFilterContext::new(default)?;
    context.set_ctl_optimize(BINARY_TREE)?;
    for name in list(&profile["architectures"]) {
        let arch = name.as_str().and_then(|name| ScmpArch::from_str(name).ok());
        context.add_arch(arch.ok_or_else(|| invalid("architecture", name))?)?;
    }
    for rule in list(&profile["syscalls"]) {
        let action = action(&rule["action"], &rule["errnoRet"])?;
        // libseccomp refuses rules that change nothing.
        if action != default {
            add_rule(&mut context, rule, action)?;
        }
    }
    Ok(Filter { program: export(&context)?, flags: flags(&profile["flags"])? })
}

/// Through a file in memory, because exporting to memory needs a newer libseccomp than Debian 12 has.
fn export(context: &ScmpFilterContext) -> Result<Vec<u8>, Error> {
    let mut file = File::from(memfd_create(c"filter", MFdFlags::MFD_CLOEXEC).map_err(std::io::Error::from)?);
    context.export_bpf(&file)?;
    let mut program = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut program)?;
    Ok(program)
}

fn add_rule(context: &mut ScmpFilterContext, rule: &Value, action: ScmpAction) -> Result<(), Error> {
    let conditions = list(&rule["args"]).iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    for name in list(&rule["names"]) {
        let name = name.as_str().ok_or_else(|| invalid("system call", name))?;
        // A name that the library does not know is a call that the default action is right for.
        let Ok(call) = ScmpSyscall::from_name(name) else { continue };
        if has_repeated_argument(&rule["args"]) {
            // One rule can look at an argument once; several looks at one argument are alternatives.
            for condition in &conditions {
                context.add_rule_conditional(action, call, std::slice::from_ref(condition))?;
            }
        } else {
            context.add_rule_conditional(action, call, &conditions)?;
        }
    }
    Ok(())
}

fn has_repeated_argument(args: &Value) -> bool {
    let mut indices: Vec<Option<u64>> = list(args).iter().map(|arg| arg["index"].as_u64()).collect();
    indices.sort_unstable();
    indices.windows(2).any(|pair| pair[0] == pair[1])
}

/// For `SCMP_CMP_MASKED_EQ` the specification's `value` is the mask and `valueTwo` what is compared with.
fn condition(arg: &Value) -> Result<ScmpArgCompare, Error> {
    let number = |name: &str| arg[name].as_u64().unwrap_or(0);
    let index = u32::try_from(number("index")).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| invalid("argument index", &arg["index"]))?;
    let operator = arg["op"].as_str().and_then(|name| ScmpCompareOp::from_str(name).ok());
    Ok(match operator.ok_or_else(|| invalid("operator", &arg["op"]))? {
        ScmpCompareOp::MaskedEqual(_) => {
            ScmpArgCompare::new(index, ScmpCompareOp::MaskedEqual(number("value")), number("valueTwo"))
        }
        operator => ScmpArgCompare::new(index, operator, number("value")),
    })
}

fn action(name: &Value, errno: &Value) -> Result<ScmpAction, Error> {
    let text = name.as_str().ok_or_else(|| invalid("action", name))?;
    let errno = match errno {
        Value::Null => libc::EPERM,
        number => {
            number.as_u64().and_then(|n| i32::try_from(n).ok()).ok_or_else(|| invalid("errno", number))?
        }
    };
    match ScmpAction::from_str(text, Some(errno)) {
        Ok(ScmpAction::Notify) => Err(Error::Notify),
        Ok(action) => Ok(action),
        Err(_) => Err(invalid("action", name)),
    }
}

fn flags(names: &Value) -> Result<u32, Error> {
    let mut flags = 0;
    for name in list(names) {
        flags |= match name.as_str() {
            Some("SECCOMP_FILTER_FLAG_TSYNC") => libc::SECCOMP_FILTER_FLAG_TSYNC,
            Some("SECCOMP_FILTER_FLAG_LOG") => libc::SECCOMP_FILTER_FLAG_LOG,
            Some("SECCOMP_FILTER_FLAG_SPEC_ALLOW") => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            // Without a listener there is nothing to be killed while waiting for it.
            Some("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") => 0,
            _ => return Err(invalid("flag", name)),
        };
    }
    u32::try_from(flags).map_err(|_| invalid("flags", names))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn invalid(what: &'static str, value: &Value) -> Error {
    Error::Invalid { what, value: value.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the filter says about a call on x86-64, by interpreting its program (`linux/filter.h`).
    fn verdict(filter: &Filter, number: u32, first_argument: u64) -> u32 {
        const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
        let [low, high] =
            [first_argument & 0xffff_ffff, first_argument >> 32].map(|half| u32::try_from(half).unwrap());
        let data = [number, AUDIT_ARCH_X86_64, 0, 0, low, high];
        let code: Vec<(u16, u8, u8, u32)> = filter
            .program
            .chunks_exact(8)
            .map(|op| {
                (
                    u16::from_le_bytes([op[0], op[1]]),
                    op[2],
                    op[3],
                    u32::from_le_bytes([op[4], op[5], op[6], op[7]]),
                )
            })
            .collect();
        let (mut at, mut a) = (0, 0u32);
        loop {
            let (op, yes, no, k) = code[at];
            let jump = |taken: bool| at + 1 + usize::from(if taken { yes } else { no });
            at = match op {
                0x20 => {
                    a = data.get(k as usize / 4).copied().unwrap_or(0);
                    at + 1
                }
                0x54 => {
                    a &= k;
                    at + 1
                }
                0x05 => at + 1 + k as usize,
                0x15 => jump(a == k),
                0x25 => jump(a > k),
                0x35 => jump(a >= k),
                0x45 => jump(a & k != 0),
                0x06 => return k,
                other => panic!("instruction {other:#x}"),
            };
        }
    }

    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;
    const CLONE: u32 = 56;
    const GETPID: u32 = 39;
    const CLONE_NEWUSER: u64 = 0x1000_0000;

    #[test]
    fn a_mask_is_a_mask() {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            {"names": ["getpid", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 0x7e02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]});
        let filter = compile(&profile).unwrap();
        assert_eq!(verdict(&filter, GETPID, 0), ALLOW);
        assert_eq!(verdict(&filter, CLONE, 0x11), ALLOW);
        assert_eq!(verdict(&filter, CLONE, CLONE_NEWUSER | 0x11), EPERM);
        assert_eq!(verdict(&filter, 83, 0), ENOSYS);
        assert_eq!(verdict(&filter, 1, 0), EPERM);
    }

    #[test]
    fn several_looks_at_one_argument_are_alternatives() {
        let look = |value: u32| json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"});
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
            {"names": ["getpid"], "action": "SCMP_ACT_ALLOW", "args": [look(1), look(2)]}]});
        let filter = compile(&profile).unwrap();
        assert_eq!(filter.flags, 2);
        for (argument, expected) in [(1, ALLOW), (2, ALLOW), (3, EPERM)] {
            assert_eq!(verdict(&filter, GETPID, argument), expected, "{argument}");
        }
    }

    #[test]
    fn what_is_no_profile_says_which_part() {
        for (profile, part) in [
            (json!({}), "action null"),
            (json!({"defaultAction": "SCMP_ACT_MAYBE"}), "action"),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]}),
                "architecture",
            ),
            (json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}), "flag"),
            (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "NOTIFY"),
        ] {
            let error = compile(&profile).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(part), "{profile}: {error}");
        }
    }
}
