//! The host's clock as a device (kernel `Documentation/driver-api/ptp.rst`), and the system's clock.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime, clock_settime};

use crate::sys;

/// How the Hyper-V clock calls itself.
const NAME: &str = "hyperv";
/// A look that took longer than this, because the processor was away, says nothing.
const LONGEST_LOOK: i128 = 10_000_000;

/// A clock that cannot be read or set.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub(super) struct Error {
    operation: &'static str,
    #[source]
    source: io::Error,
}

fn failed<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error { operation, source: source.into() }
}

/// The host's clock.
pub(super) struct Clock(File);

impl Clock {
    /// Finds and opens it; `None` if there is none.
    pub(super) fn find() -> Result<Option<Self>, Error> {
        let Some(device) = device(Path::new("/sys/class/ptp")) else { return Ok(None) };
        File::open(device).map(|file| Some(Self(file))).map_err(failed("opening the host's clock"))
    }

    /// Nanoseconds that the system's clock is behind the host's; `None` if the look took too long.
    pub(super) fn offset(&self) -> Result<Option<i128>, Error> {
        // How the kernel makes a clock's id of a descriptor: CLOCKFD is 3.
        let id = ClockId::from_raw((!self.0.as_raw_fd() << 3) | 3);
        let before = now()?;
        let host = nanos(clock_gettime(id).map_err(failed("reading the host's clock"))?);
        let after = now()?;
        Ok((after - before <= LONGEST_LOOK).then(|| host - i128::midpoint(before, after)))
    }
}

/// The node of the clock with the right name.
fn device(class: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(class).ok()?;
    let entry = entries.flatten().find(|entry| {
        fs::read_to_string(entry.path().join("clock_name")).is_ok_and(|name| name.trim_end() == NAME)
    })?;
    Some(Path::new("/dev").join(entry.file_name()))
}

fn nanos(time: TimeSpec) -> i128 {
    i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec())
}

fn now() -> Result<i128, Error> {
    clock_gettime(ClockId::CLOCK_REALTIME).map(nanos).map_err(failed("reading the system's clock"))
}

/// Sets the system's clock forward by so many nanoseconds.
pub(super) fn step(offset: i128) -> Result<(), Error> {
    let target = i64::try_from(now()? + offset).unwrap_or_default();
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::nanoseconds(target)).map_err(failed("setting the clock"))
}

/// Lets the system's clock run faster or slower until it has gained so many microseconds.
pub(super) fn slew(micros: i64) -> Result<(), Error> {
    sys::slew_clock(micros).map_err(failed("adjusting the clock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_found_by_name() {
        let class = std::env::temp_dir().join(format!("ptp-{}", std::process::id()));
        for (device, name) in [("ptp0", "KVM virtual PTP\n"), ("ptp1", "hyperv\n")] {
            fs::create_dir_all(class.join(device)).unwrap();
            fs::write(class.join(device).join("clock_name"), name).unwrap();
        }
        assert_eq!(device(&class), Some(PathBuf::from("/dev/ptp1")));
        fs::remove_dir_all(class.join("ptp1")).unwrap();
        assert_eq!(device(&class), None);
        fs::remove_dir_all(class).unwrap();
        assert_eq!(device(Path::new("/no/such/class")), None);
    }
}
