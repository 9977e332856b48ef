//! Which image of several is the one for a machine.
use crate::Platform;
use crate::model::Descriptor;

/// An image and the machine it is for.
pub(crate) struct Candidate {
    pub(crate) descriptor: Descriptor,
    pub(crate) platform: Platform,
}

/// The first image for the machine that is wanted; else the names of the machines there are images for.
pub(crate) fn choose(wanted: &Platform, candidates: Vec<Candidate>) -> Result<Descriptor, Vec<String>> {
    let mut found: Vec<String> = candidates.iter().map(|candidate| candidate.platform.to_string()).collect();
    // Attestations call their platform unknown.
    found.retain(|platform| !platform.starts_with("unknown"));
    found.dedup();
    let mut fitting: Vec<_> =
        candidates.into_iter().filter(|candidate| wanted.accepts(&candidate.platform)).collect();
    // The very variant before one that does not say which it is.
    fitting.sort_by_key(|candidate| wanted.variant.is_some() && candidate.platform.variant != wanted.variant);
    let chosen = fitting.into_iter().next();
    chosen.map(|candidate| candidate.descriptor).ok_or(found)
}
