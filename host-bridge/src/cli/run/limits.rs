//! Memory and processors: what a container is limited to, and what its VM is given.
//!
//! The container's cgroup gets the request exactly. The VM's memory is the request and 256 MiB for kernel and agent,
//! rounded up to 512 MiB (the rule of the first LCOW), so that the container can use all it was promised.

use std::str::FromStr;

use crate::uvm::plan::DEFAULT_MEMORY_MIB;

const MIB: u64 = 1 << 20;
/// For kernel and agent.
const OVERHEAD: u64 = 256 * MIB;
/// VMs have a multiple of this.
const STEP: u64 = 512 * MIB;
/// Docker's own minimum; with less no process starts.
const MIN_MEMORY: u64 = 6 * MIB;
/// As for `lcow uvm boot`.
const MAX_VM_MIB: u64 = 16_777_216;
const NANO: u64 = 1_000_000_000;
const MAX_CPUS: u64 = 255;

/// `-m`: a number with b, k, m or g behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory(u64);

impl Memory {
    pub(super) fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let unit: u64 = match unit {
            "" | "b" | "B" => 1,
            "k" | "K" => 1 << 10,
            "m" | "M" => MIB,
            "g" | "G" => 1 << 30,
            _ => return Err("expected a number with b, k, m or g behind it, such as 512m".into()),
        };
        let number: u64 = digits.parse().map_err(|_| "expected a number, such as 512m")?;
        let bytes = number.checked_mul(unit).filter(|&bytes| vm_mib(bytes) <= MAX_VM_MIB);
        match bytes {
            None => Err("no machine has so much memory".into()),
            Some(bytes) if bytes < MIN_MEMORY => Err("the least is 6m".into()),
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

/// `--cpus`: processors with up to nine decimals, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cpus(u64);

impl Cpus {
    pub(super) fn nano(self) -> u64 {
        self.0
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "expected a number of processors, such as 1.5".to_owned();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() == text.matches('.').count()
            || !digits(whole)
            || !digits(fraction)
            || fraction.len() > 9
        {
            return Err(bad());
        }
        let number =
            |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u64>().map_err(|_| bad()) };
        let nano = number(whole)?.saturating_mul(NANO).saturating_add(number(&format!("{fraction:0<9}"))?);
        match nano {
            // The kernel deals out no less than a millisecond in its period of a tenth of a second.
            0..10_000_000 => Err("the least is 0.01".into()),
            _ if nano > MAX_CPUS * NANO => Err(format!("the most is {MAX_CPUS}")),
            _ => Ok(Self(nano)),
        }
    }
}

/// Memory of the VM for a container with this limit, in MiB.
pub(super) fn vm_memory(request: Option<Memory>) -> u32 {
    request.map_or(DEFAULT_MEMORY_MIB, |request| u32::try_from(vm_mib(request.0)).unwrap_or(u32::MAX))
}

fn vm_mib(request: u64) -> u64 {
    request.saturating_add(OVERHEAD).div_ceil(STEP).saturating_mul(STEP / MIB)
}

/// Processors of the VM for a container with this limit.
pub(super) fn vm_cpus(request: Cpus) -> u32 {
    u32::try_from(request.0.div_ceil(NANO)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_units_and_the_vm_some_more() {
        for (text, bytes, vm) in [
            ("6m", 6 << 20, 512),
            ("256m", 256 << 20, 512),
            ("268435457", (256 << 20) + 1, 1024),
            ("512M", 512 << 20, 1024),
            ("524288k", 512 << 20, 1024),
            ("768m", 768 << 20, 1024),
            ("769m", 769 << 20, 1536),
            ("1g", 1 << 30, 1536),
            ("3G", 3 << 30, 3584),
            ("4g", 4 << 30, 4608),
            ("536870912b", 512 << 20, 1024),
        ] {
            let memory: Memory = text.parse().expect(text);
            assert_eq!((memory.bytes(), vm_memory(Some(memory))), (bytes, vm), "{text}");
        }
        assert_eq!(vm_memory(None), 1024);
        for bad in ["", "m", "-1", "1.5g", "512mb", "5", "1m", "99999999g", "99999999999999999999", "1 g"] {
            assert!(bad.parse::<Memory>().is_err(), "{bad}");
        }
    }

    #[test]
    fn processors_may_have_a_fraction() {
        for (text, nano, vm) in [
            ("1", 1_000_000_000, 1),
            ("2", 2_000_000_000, 2),
            ("1.5", 1_500_000_000, 2),
            (".5", 500_000_000, 1),
            ("0.01", 10_000_000, 1),
            ("3.000000001", 3_000_000_001, 4),
            ("2.", 2_000_000_000, 2),
            ("255", 255_000_000_000, 255),
        ] {
            let cpus: Cpus = text.parse().expect(text);
            assert_eq!((cpus.nano(), vm_cpus(cpus)), (nano, vm), "{text}");
        }
        for bad in ["", ".", "0", "0.001", "-1", "1e3", "256", "1.2.3", "0.1234567891", "two", "+1"] {
            assert!(bad.parse::<Cpus>().is_err(), "{bad}");
        }
    }
}
