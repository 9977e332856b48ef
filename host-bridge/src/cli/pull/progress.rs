//! How a pull goes on, on standard error and for people only.

use std::collections::HashMap;
use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::iter::successors;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lcow_oci::Digest;
use lcow_oci::model::Descriptor;
use lcow_oci::registry::{Observer, RegistryError};

/// A bar for each layer, where somebody looks, and a line for each failure that may pass.
#[derive(Debug)]
pub(super) struct Progress {
    show: bool,
    bars: Option<MultiProgress>,
    layers: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Progress {
    pub(super) fn new(show: bool) -> Self {
        let bars = (show && stderr().is_terminal()).then(MultiProgress::new);
        Self { show, bars, layers: Mutex::default() }
    }

    /// Takes the bars away: what comes next belongs to the container.
    pub(super) fn finish(&self) {
        if let Some(bars) = &self.bars {
            // A terminal that has gone needs no tidying.
            let _ = bars.clear();
        }
    }

    fn with(&self, layer: &Descriptor, act: impl FnOnce(&ProgressBar)) {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = layers.get(&layer.digest) {
            act(bar);
        }
    }
}

impl Observer for Progress {
    fn layers(&self, layers: &[Descriptor]) {
        let Some(bars) = &self.bars else { return };
        let template = "{prefix}: {msg:14} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let mut all = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        for layer in layers {
            let bar = ProgressBar::new(layer.size).with_style(style.clone()).with_message("Waiting");
            let prefix = layer.digest.hex().chars().take(12).collect::<String>();
            all.entry(layer.digest).or_insert_with(|| bars.add(bar.with_prefix(prefix))).tick();
        }
    }

    fn present(&self, layer: &Descriptor) {
        self.with(layer, |bar| bar.finish_with_message("Already exists"));
    }

    fn bytes(&self, layer: &Descriptor, count: u64) {
        self.with(layer, |bar| {
            bar.set_message("Downloading");
            bar.inc(count);
        });
    }

    fn done(&self, layer: &Descriptor) {
        self.with(layer, |bar| {
            if !bar.is_finished() {
                bar.finish_with_message("Pull complete");
            }
        });
    }

    fn retry(&self, error: &RegistryError, pause: Duration) {
        let causes = successors(error.source(), |error| (*error).source());
        let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        let line = format!("lcow: {text}; trying again in {:.1} s", pause.as_secs_f64());
        match &self.bars {
            // Like the bars themselves it is for a terminal that may have gone.
            Some(bars) => drop(bars.println(line)),
            None if self.show => eprintln!("{line}"),
            None => {}
        }
    }
}
