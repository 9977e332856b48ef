//! System call filters: OCI profiles compiled by libseccomp, once each, and loaded by the executor.
//!
//! libcontainer would compile a profile anew in every process, which under emulation takes as long as everything
//! else together; it forgets the profile for execs; and it swaps mask and value of `SCMP_CMP_MASKED_EQ`, so that
//! the usual rule against `clone` with namespace flags would let every `clone` through.

mod unknown;

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
    let architectures =
        list(&profile["architectures"]).iter().map(architecture).collect::<Result<Vec<_>, _>>()?;
    for arch in &architectures {
        context.add_arch(*arch)?;
    }
    for rule in list(&profile["syscalls"]) {
        let action = action(&rule["action"], &rule["errnoRet"])?;
        // libseccomp refuses rules that change nothing.
        if action != default {
            add_rule(&mut context, rule, action)?;
        }
    }
    let mut program = unknown::prologue(default, &architectures);
    program.extend(export(&context)?);
    Ok(Filter { program, flags: flags(&profile["flags"])? })
}

fn architecture(name: &Value) -> Result<ScmpArch, Error> {
    let arch = name.as_str().and_then(|name| ScmpArch::from_str(name).ok());
    arch.ok_or_else(|| invalid("architecture", name))
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
        let Ok(call) = ScmpSyscall::from_name(name) else {
            tracing::debug!(name, "a rule is left out: libseccomp does not know the system call");
            continue;
        };
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
mod tests;
