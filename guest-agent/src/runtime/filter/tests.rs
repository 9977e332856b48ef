//! Profiles, and what their filters say.

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

/// With one that libseccomp has no name for.
fn calls(default: &Value) -> Filter {
    let mut profile = json!({"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["getpid", "mseal"], "action": "SCMP_ACT_ALLOW"}]});
    profile.as_object_mut().unwrap().extend(default.as_object().unwrap().clone());
    compile(&profile).unwrap()
}

#[test]
fn calls_that_are_newer_than_the_library_do_not_exist() {
    const NOBODY_KNOWS: u32 = 999;
    for default in [
        json!({"defaultAction": "SCMP_ACT_ERRNO"}),
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1}),
        json!({"defaultAction": "SCMP_ACT_KILL_PROCESS"}),
    ] {
        let filter = calls(&default);
        assert_eq!(verdict(&filter, NOBODY_KNOWS, 0), ENOSYS, "{default}");
        assert_eq!(verdict(&filter, GETPID, 0), ALLOW, "{default}");
        // One that is known and not allowed, and one of x32.
        let refused = verdict(&filter, 1, 0);
        assert_ne!(refused, ENOSYS, "{default}");
        assert_eq!(verdict(&filter, 0x4000_0000 + NOBODY_KNOWS, 0), refused, "{default}");
    }
    let filter = compile(&json!({"defaultAction": "SCMP_ACT_ALLOW"})).unwrap();
    assert_eq!(verdict(&filter, NOBODY_KNOWS, 0), ALLOW);
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
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]}), "architecture"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}), "flag"),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "NOTIFY"),
    ] {
        let error = compile(&profile).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(part), "{profile}: {error}");
    }
}
