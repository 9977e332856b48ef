//! `CombinedLayers` (spec section 6.5): the overlay that becomes a container's root.

use std::path::{Path, PathBuf};

use lcow_protocol::ContainerId;
use lcow_protocol::settings::CombinedLayers;
use nix::mount::MsFlags;

use super::{Error, Storage, blocking, mounts};
use crate::causes::with_causes;

/// Mount data longer than a page is cut by the kernel without a word.
const LONGEST_DATA: usize = 4095;
/// Mode of the directories that are made.
const MODE: u32 = 0o755;

/// What a request asks for, checked.
struct Plan {
    root: PathBuf,
    bundle: PathBuf,
    lower: Vec<String>,
    scratch: Option<PathBuf>,
}

impl Plan {
    fn new(layers: CombinedLayers) -> Result<Self, Error> {
        let root = PathBuf::from(&layers.container_root_path);
        let bundle = match root.parent() {
            Some(bundle) if root.is_absolute() => bundle.to_owned(),
            _ => return Err(Error::Invalid(format!("ContainerRootPath {} is not absolute", root.display()))),
        };
        let lower: Vec<String> = layers.layers.into_iter().map(|layer| layer.path).collect();
        if lower.is_empty() {
            return Err(Error::Invalid("there are no layers".to_owned()));
        }
        if let Some(bad) = lower.iter().find(|path| path.contains([':', ',', '\\'])) {
            return Err(Error::Invalid(format!("layer path {bad:?} cannot be part of an overlay")));
        }
        let scratch = Some(PathBuf::from(layers.scratch_path)).filter(|path| *path != Path::new(""));
        Ok(Self { root, bundle, lower, scratch })
    }

    /// The directory on the scratch disk that the bundle is bound to, unless the scratch disk is mounted at the
    /// bundle already.
    fn bundle_source(&self) -> Option<PathBuf> {
        let scratch = self.scratch.as_ref()?;
        (!scratch.starts_with(&self.bundle)).then(|| scratch.join("bundle"))
    }

    fn data(&self) -> Result<String, Error> {
        let mut data = format!("lowerdir={}", self.lower.join(":"));
        if let Some(scratch) = &self.scratch {
            let scratch = scratch.display();
            data = format!("{data},upperdir={scratch}/upper,workdir={scratch}/work");
        }
        if data.len() > LONGEST_DATA {
            let count = self.lower.len();
            return Err(Error::Invalid(format!("the paths of {count} layers do not fit into one mount")));
        }
        Ok(data)
    }

    fn mount(&self) -> Result<(), Error> {
        if let Some(scratch) = &self.scratch {
            mounts::create_directory(&scratch.join("upper"), MODE)?;
            mounts::create_directory(&scratch.join("work"), MODE)?;
        }
        mounts::create_directory(&self.root, MODE)?;
        self.mount_union()
    }

    /// Those of the directories it needs that are not there yet, parents last.
    fn missing(&self) -> Vec<PathBuf> {
        let parts = |scratch: &PathBuf| ["upper", "work", "bundle"].map(|name| scratch.join(name));
        let needed = self.scratch.iter().flat_map(parts).chain([self.root.clone(), self.bundle.clone()]);
        needed.filter(|path| std::fs::symlink_metadata(path).is_err()).collect()
    }

    /// Takes back what was done for a union that could not be mounted, whose error is the one that matters: what it has
    /// `made` is removed.
    fn undo(&self, bundle_is_bound: bool, made: &[PathBuf]) {
        // In the bound bundle, if that is bound.
        let _ = made.contains(&self.root).then(|| std::fs::remove_dir(&self.root));
        if bundle_is_bound && let Err(error) = mounts::unmount(&self.bundle) {
            tracing::warn!(error = with_causes(&error), "a bundle stays bound to its scratch disk");
            return;
        }
        for directory in made {
            let _ = std::fs::remove_dir(directory);
        }
    }

    fn mount_union(&self) -> Result<(), Error> {
        if let ([only], None) = (&self.lower[..], &self.scratch) {
            // An overlay of one layer without a place for changes is refused by the kernel, and would be the layer itself.
            return mounts::bind_read_only(Path::new(only), &self.root);
        }
        let flags = if self.scratch.is_some() { MsFlags::empty() } else { MsFlags::MS_RDONLY };
        mounts::mount(Path::new("overlay"), &self.root, "overlay", flags, &self.data()?)
    }

    fn bind_bundle(&self, source: &Path) -> Result<(), Error> {
        mounts::create_directory(source, MODE)?;
        mounts::create_directory(&self.bundle, MODE)?;
        mounts::bind(source, &self.bundle)
    }
}

impl Storage {
    /// Mounts the union of layers and scratch.
    pub(crate) async fn add_layers(&self, layers: CombinedLayers) -> Result<(), Error> {
        let id = ContainerId(layers.container_id.clone());
        let plan = Plan::new(layers)?;
        self.check_layers(&plan)?;
        super::machine_prepared().await;
        let bundle = plan.bundle.clone();
        let bound = blocking(move || {
            let (source, made) = (plan.bundle_source(), plan.missing());
            if let Some(source) = &source {
                plan.bind_bundle(source).inspect_err(|_| plan.undo(false, &made))?;
            }
            plan.mount().inspect_err(|_| plan.undo(source.is_some(), &made))?;
            Ok(source.is_some())
        })
        .await?;
        if bound {
            self.bundle_binds.borrow_mut().insert(id, bundle);
        }
        Ok(())
    }

    /// Where the agent demands hash trees, only what it has mounted with one may become part of a root.
    fn check_layers(&self, plan: &Plan) -> Result<(), Error> {
        let unverified = plan.lower.iter().map(Path::new).find(|path| !self.is_verified(path));
        match unverified {
            Some(path) if self.verity.demands() => Err(Error::Verity {
                path: path.to_owned(),
                reason: "it was not mounted through dm-verity, and the agent demands that".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Takes the union down.
    pub(crate) async fn remove_layers(&self, layers: CombinedLayers) -> Result<(), Error> {
        let root = PathBuf::from(layers.container_root_path);
        blocking(move || mounts::unmount_and_remove(&root)).await
    }

    /// Whose bundle, bound to a scratch disk, the union at `root` belongs to.
    pub(crate) fn owner_of(&self, root: &str) -> Option<ContainerId> {
        let bundle = Path::new(root).parent()?;
        let binds = self.bundle_binds.borrow();
        binds.iter().find(|(_, bound)| *bound == bundle).map(|(id, _)| id.clone())
    }

    /// Undoes the bind of a container's bundle, if there is one.
    pub(crate) async fn release_bundle(&self, id: &ContainerId) -> Result<(), Error> {
        let Some(bundle) = self.bundle_binds.borrow().get(id).cloned() else { return Ok(()) };
        blocking(move || mounts::unmount_and_remove(&bundle)).await?;
        self.bundle_binds.borrow_mut().remove(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lcow_protocol::settings::Layer;

    use super::*;

    fn plan(layers: &[&str], scratch: &str) -> Result<Plan, Error> {
        let layers =
            layers.iter().map(|path| Layer { path: (*path).to_owned(), ..Layer::default() }).collect();
        Plan::new(CombinedLayers {
            container_root_path: "/run/gcs/c/x/rootfs".to_owned(),
            layers,
            scratch_path: scratch.to_owned(),
            ..CombinedLayers::default()
        })
    }

    #[test]
    fn options_name_layers_top_most_first_and_the_scratch() {
        let with_scratch = plan(&["/l/2", "/l/1"], "/run/gcs/c/x/scratch/x").unwrap();
        let expected =
            "lowerdir=/l/2:/l/1,upperdir=/run/gcs/c/x/scratch/x/upper,workdir=/run/gcs/c/x/scratch/x/work";
        assert_eq!(with_scratch.data().unwrap(), expected);
        assert_eq!(plan(&["/l/1"], "").unwrap().data().unwrap(), "lowerdir=/l/1");
    }

    #[test]
    fn a_scratch_outside_the_bundle_carries_the_bundle_too() {
        let other_disk = plan(&["/l"], "/run/mounts/scsi/0_1_0/scratch/p/x").unwrap();
        let expected = PathBuf::from("/run/mounts/scsi/0_1_0/scratch/p/x/bundle");
        assert_eq!(other_disk.bundle_source(), Some(expected));
        assert_eq!(plan(&["/l"], "/run/gcs/c/x/scratch/x").unwrap().bundle_source(), None);
        assert_eq!(plan(&["/l"], "").unwrap().bundle_source(), None);
        // A sibling whose name merely starts alike is outside.
        assert!(plan(&["/l"], "/run/gcs/c/xy/scratch").unwrap().bundle_source().is_some());
    }

    #[test]
    fn what_an_overlay_cannot_express_is_refused() {
        assert!(plan(&[], "").is_err());
        assert!(plan(&["/a:b"], "").is_err());
        let many: Vec<String> = (0..200).map(|n| format!("/run/mounts/scsi/some/long/name/m{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(plan(&many, "").unwrap().data().is_err());
    }
}
