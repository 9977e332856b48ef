//! Reading what thousands of modules say about themselves. Distributions compress each module, so this is most of the
//! work on a package; every processor takes part.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use super::spool::Spool;
use super::{Body, KernelError, ModuleFile, body_bytes, read_modinfo};
use crate::modules::modinfo::ModInfo;

/// The modules at the given paths with their information, sorted by path: the order in which a package or a directory
/// lists them must not show in the result.
pub(super) fn read(
    mut stored: Vec<(String, Body)>,
    spool: Option<&Spool>,
) -> Result<Vec<ModuleFile>, KernelError> {
    stored.sort_by(|(a, _), (b, _)| a.cmp(b));
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let share = stored.len().div_ceil(workers).max(1);
    let mut infos = Vec::with_capacity(stored.len());
    thread::scope(|scope| {
        let running: Vec<_> =
            stored.chunks(share).map(|share| scope.spawn(move || read_share(share, spool))).collect();
        for worker in running {
            infos.extend(worker.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok::<(), KernelError>(())
    })?;
    Ok(stored.into_iter().zip(infos).map(|((path, body), info)| ModuleFile { path, info, body }).collect())
}

fn read_share(share: &[(String, Body)], spool: Option<&Spool>) -> Result<Vec<ModInfo>, KernelError> {
    share.iter().map(|(path, body)| read_modinfo(path, &body_bytes(body, spool)?)).collect()
}
