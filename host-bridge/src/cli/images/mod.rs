//! Commands about images.

mod archives;
mod import;
mod inspect;
mod list;
mod names;
mod time;

pub(super) use archives::{LoadArgs, SaveArgs, load, save};
pub(super) use import::{ImportArgs, import};
pub(super) use inspect::{HistoryArgs, InspectArgs, history, inspect};
pub(super) use list::{ImagesArgs, images};
pub(super) use names::{RmiArgs, TagArgs, rmi, tag};

/// Characters of an id or digest that are shown to people.
const SHORT_ID: usize = 12;

fn short(digest: &lcow_oci::Digest) -> String {
    digest.hex()[..SHORT_ID].to_owned()
}
