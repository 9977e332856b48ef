//! End-to-end suites on real utility VMs.
#![forbid(unsafe_code)]
