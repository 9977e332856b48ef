//! Which accelerator to use.

use std::path::Path;

use crate::vmm::Accelerator;

/// KVM when it is the processor's own: `/dev/kvm` alone may belong to a paravirtual KVM, which cannot run an ordinary
/// kernel.
pub(super) fn best() -> Accelerator {
    let modules = ["/sys/module/kvm_intel", "/sys/module/kvm_amd"];
    let usable = modules.iter().any(|module| Path::new(module).exists())
        && std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if usable { Accelerator::Kvm } else { Accelerator::Tcg }
}
