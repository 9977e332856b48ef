//! `lcow pull`, and pulling for `lcow run`.

mod progress;

use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use lcow_oci::registry::{DockerConfig, Mirror, Options, Pulled, Registry, Request};
use lcow_oci::store::{Image, StoreError};
use lcow_oci::{Platform, Reference};

use super::table::print;
use crate::home::Home;
use progress::Progress;

/// Environment variable with mirrors.
const MIRRORS: &str = "LCOW_MIRROR";

const EXAMPLES: &str = "\
Examples:
  lcow pull busybox
  lcow pull ghcr.io/me/app@sha256:…
  lcow pull --mirror docker.io=http://127.0.0.1:5000 nginx:alpine
  lcow pull localhost:5000/me/app
  lcow pull --platform linux/arm64 debian

Credentials are those of `docker login`: ~/.docker/config.json (or in $DOCKER_CONFIG) and its credential helpers. Layers
become disks while they come; what is here already is not fetched again. Registries on this machine are asked without TLS,
others only with --plain-http or a mirror's http:// address. $LCOW_MIRROR holds mirrors, separated by commas.";

/// Arguments of `lcow pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PullArgs {
    #[command(flatten)]
    registry: RegistryArgs,
    /// Show nothing but the image's name
    #[arg(short, long)]
    quiet: bool,
    /// The machine it is for [default: this one]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: Reference,
}

/// How registries are asked.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct RegistryArgs {
    /// Ask here first, for the images of one registry or of all; may be given several times
    #[arg(long = "mirror", value_name = "[REGISTRY=]URL")]
    mirrors: Vec<Mirror>,
    /// A registry that may be asked without TLS
    #[arg(long, value_name = "HOST[:PORT]")]
    plain_http: Vec<String>,
}

/// What `lcow run` says about pulling.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunPullArgs {
    /// Whether to pull the image first
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Policy::Missing)]
    pull: Policy,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// If it is not here
    Missing,
    /// In any case
    Always,
    /// Not at all
    Never,
}

/// Pulls an image.
pub(super) async fn pull(args: PullArgs) -> anyhow::Result<ExitCode> {
    let work = move || {
        let request =
            Request { reference: &args.image, platform: args.platform.unwrap_or_else(Platform::host) };
        let pulled = pull_image(&Home::open()?, &request, &args.registry, !args.quiet)?;
        let name = &args.image;
        if args.quiet {
            return Ok(print(&format!("{name}\n"))?);
        }
        let status = if pulled.unchanged { "Image is up to date for" } else { "Downloaded newer image for" };
        Ok(print(&format!("Digest: {}\nStatus: {status} {}\n{name}\n", pulled.named, name.familiar()))?)
    };
    let done: anyhow::Result<()> = tokio::task::spawn_blocking(work).await.context("pulling failed")?;
    done.map(|()| ExitCode::SUCCESS)
}

impl RunPullArgs {
    /// The image called `text`, pulled if need be.
    pub(super) fn image(&self, home: &Home, text: &str) -> anyhow::Result<(Reference, Image)> {
        let store = home.store()?;
        let found = match self.pull {
            Policy::Always => None,
            Policy::Missing | Policy::Never => match store.find(text) {
                Ok(reference) => Some(reference),
                Err(StoreError::Unknown { .. }) if self.pull == Policy::Missing => None,
                Err(error) => return Err(error.into()),
            },
        };
        let reference = if let Some(reference) = found {
            reference
        } else {
            let reference: Reference = text.parse()?;
            let request = Request { reference: &reference, platform: Platform::host() };
            pull_image(home, &request, &self.registry, true).context("cannot pull the image")?;
            reference
        };
        let image = store.get(&reference)?;
        Ok((reference, image))
    }
}

fn pull_image(home: &Home, request: &Request<'_>, args: &RegistryArgs, show: bool) -> anyhow::Result<Pulled> {
    let mut mirrors = args.mirrors.clone();
    mirrors.extend(Mirror::list(&std::env::var(MIRRORS).unwrap_or_default()).context(MIRRORS)?);
    let registry = Registry::new(Options {
        mirrors,
        plain_http: args.plain_http.clone(),
        credentials: DockerConfig::of_user()?,
        ..Options::default()
    });
    let (store, cache) = (home.store()?, home.layers());
    // What killed commands have left behind is in the way of this one's space.
    store.collect_garbage()?;
    let _disks = cache.hold()?;
    let progress = Progress::new(show);
    let pulled = lcow_oci::registry::pull(&store, &registry, request, &progress, Some(&cache))?;
    progress.finish();
    // Layers that were here before may lack a disk.
    cache.disks(&store, &store.get(request.reference)?)?;
    Ok(pulled)
}
