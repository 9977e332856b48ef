//! How the guest's instructions are run, and what follows from that.

use std::path::Path;

/// How the guest's instructions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// Hardware virtualisation.
    Kvm,
    /// Emulation; works everywhere.
    Tcg,
}

/// A kernel under emulation measures whether timer interrupts come through, for 40 ms, and panics if the host was busy.
/// KVM and Hyper-V guests leave that out by themselves.
const EMULATED: &[&str] = &["no_timer_check"];

/// With one processor the HPET serves as the processor's own timer, as precise, and need not be measured for 0.1 s like
/// the APIC's; and lock prefixes, which emulation hardly feels, stay where they are. With more than one, timers of
/// processors without their own would be no finer than a tick.
const EMULATED_ALONE: &[&str] = &["noapictimer", "noreplace-smp"];

impl Accelerator {
    /// KVM when it is the processor's own, for `/dev/kvm` alone may belong to a paravirtual KVM, which cannot run an
    /// ordinary kernel.
    pub fn best() -> Self {
        let modules = ["/sys/module/kvm_intel", "/sys/module/kvm_amd"];
        let usable = modules.iter().any(|module| Path::new(module).exists())
            && std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
        if usable { Self::Kvm } else { Self::Tcg }
    }

    /// Processors of a machine for which nobody asked for a number. Emulated ones share a thread (see the QEMU back end's
    /// arguments), so a second would only cost.
    pub fn default_cpus(self) -> u32 {
        match self {
            Self::Kvm => 2,
            Self::Tcg => 1,
        }
    }

    /// Words for the kernel of a machine with this many processors (kernel-parameters.txt).
    pub fn kernel_words(self, cpus: u32) -> Vec<&'static str> {
        let (emulated, alone): (&[_], &[_]) = match (self, cpus) {
            (Self::Kvm, _) => (&[], &[]),
            (Self::Tcg, 1) => (EMULATED, EMULATED_ALONE),
            (Self::Tcg, _) => (EMULATED, &[]),
        };
        [emulated, alone].concat()
    }
}
