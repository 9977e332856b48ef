//! EFI programs that carry everything a kernel needs, for firmware that passes no options (UAPI Group Specifications,
//! "Unified Kernel Image").

pub mod pe;
pub mod unified;
