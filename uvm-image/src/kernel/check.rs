//! Holding a kernel's configuration against what a utility VM needs (`kernel/lcow.config`).

use std::fmt;

use super::config::KernelConfig;
use super::fragment::{Level, Setting};

/// Whose kernel is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Any kernel: a module does as well as a built-in part, values of our own taste do not matter.
    Any,
    /// The tailored kernel: every line as it stands.
    Tailored,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<'a> {
    /// The setting that was looked for.
    pub setting: Setting<'a>,
    /// What the kernel has instead; `None`: not set.
    pub found: Option<String>,
}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { option, value, level, reason } = self.setting;
        let wanted = value.map_or_else(|| format!("{option} unset"), |value| format!("{option}={value}"));
        let found = self.found.as_deref().map_or_else(|| "not set".into(), |found| format!("is {found}"));
        write!(f, "{level:<8}  {wanted}: {found} ({reason})")
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings<'a> {
    /// Differences, the gravest first.
    pub differences: Vec<Finding<'a>>,
    /// Options that are modules: they work when the modules are in the image, and not before init has loaded them.
    pub modules: Vec<Setting<'a>>,
    /// How many settings were looked at.
    pub checked: usize,
}

impl Findings<'_> {
    /// Whether the kernel will do at all.
    pub fn is_usable(&self) -> bool {
        self.differences.iter().all(|finding| finding.setting.level != Level::Required)
    }
}

/// Compares `config` with `settings`.
pub fn check<'a>(config: &KernelConfig, settings: &[Setting<'a>], strictness: Strictness) -> Findings<'a> {
    let mut findings = Findings::default();
    for setting in settings {
        let matters = strictness == Strictness::Tailored || setting.level <= Level::Wanted;
        if !matters {
            continue;
        }
        findings.checked += 1;
        let found = config.value(setting.option);
        if found == setting.value {
            continue;
        }
        if strictness == Strictness::Any && found == Some("m") {
            findings.modules.push(*setting);
        } else {
            findings.differences.push(Finding { setting: *setting, found: found.map(str::to_owned) });
        }
    }
    findings.differences.sort_by_key(|finding| finding.setting.level);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(option: &'static str, value: Option<&'static str>, level: Level) -> Setting<'static> {
        Setting { option, value, level, reason: "tests" }
    }

    const SETTINGS: fn() -> Vec<Setting<'static>> = || {
        vec![
            setting("CONFIG_LSM", Some("\"yama\""), Level::Tailored),
            setting("CONFIG_WIREGUARD", Some("y"), Level::Wanted),
            setting("CONFIG_EXT4_FS", Some("y"), Level::Required),
            setting("CONFIG_DEVMEM", None, Level::Off),
        ]
    };

    #[test]
    fn modules_do_for_any_kernel_and_not_for_ours() {
        let config = KernelConfig::parse("CONFIG_EXT4_FS=m\nCONFIG_DEVMEM=y\n");
        let settings = SETTINGS();
        let any = check(&config, &settings, Strictness::Any);
        assert!(any.is_usable());
        assert_eq!(any.modules, [settings[2]]);
        assert_eq!(any.differences.len(), 1);
        assert_eq!(any.differences[0].to_string(), "wanted    CONFIG_WIREGUARD=y: not set (tests)");

        let ours = check(&config, &settings, Strictness::Tailored);
        assert!(!ours.is_usable());
        let lines: Vec<String> = ours.differences.iter().map(ToString::to_string).collect();
        assert_eq!(lines[0], "required  CONFIG_EXT4_FS=y: is m (tests)");
        assert_eq!(lines[3], "off       CONFIG_DEVMEM unset: is y (tests)");
        assert_eq!((lines.len(), ours.checked), (4, 4));
    }

    #[test]
    fn a_perfect_kernel_has_no_findings() {
        let config = KernelConfig::parse("CONFIG_EXT4_FS=y\nCONFIG_WIREGUARD=y\nCONFIG_LSM=\"yama\"\n");
        let findings = check(&config, &SETTINGS(), Strictness::Tailored);
        assert_eq!(findings, Findings { checked: 4, ..Findings::default() });
    }
}
