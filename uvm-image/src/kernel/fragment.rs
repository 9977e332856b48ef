//! The tailored kernel's configuration (`kernel/lcow.config`): options in groups, each group with a level and a reason.

use std::fmt;

/// The text of `kernel/lcow.config`.
pub const LCOW_CONFIG: &str = include_str!("../../kernel/lcow.config");

/// What it means when a kernel differs from a group of options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No utility VM, or no ordinary container, works without.
    Required,
    /// Some feature does not work without.
    Wanted,
    /// A choice for the tailored kernel alone.
    Tailored,
    /// Must not be set in the tailored kernel.
    Off,
}

impl Level {
    const NAMES: [(&'static str, Self); 4] = [
        ("required", Self::Required),
        ("wanted", Self::Wanted),
        ("tailored", Self::Tailored),
        ("off", Self::Off),
    ];

    fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(text, _)| *text == name).map(|(_, level)| *level)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, level)| level == self).map_or("", |(name, _)| name);
        f.pad(name)
    }
}

/// One option that the tailored kernel sets, or leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The option's name, `CONFIG_…`.
    pub option: &'a str,
    /// Its value as it stands in a `.config`; `None`: not set.
    pub value: Option<&'a str>,
    /// What a difference means.
    pub level: Level,
    /// Why it is there.
    pub reason: &'a str,
}

/// A line that nobody can read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} of the kernel configuration is neither a comment, a group nor a setting in a group: {text}"
)]
pub struct BadLine {
    /// The line's number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

/// The settings of `text`, in its order.
pub fn parse(text: &str) -> Result<Vec<Setting<'_>>, BadLine> {
    let mut settings = Vec::new();
    let mut group = None;
    for (index, line) in text.lines().enumerate() {
        let bad = || BadLine { line: index + 1, text: line.to_owned() };
        if let Some(head) = line.strip_prefix("#% ") {
            let (level, reason) = head.split_once(": ").ok_or_else(bad)?;
            group = Some((Level::parse(level).ok_or_else(bad)?, reason));
        } else if let Some((option, value)) = setting(line) {
            let (level, reason) = group.ok_or_else(bad)?;
            settings.push(Setting { option, value, level, reason });
        } else if !(line.is_empty() || line == "#" || line.starts_with("# ")) {
            return Err(bad());
        }
    }
    Ok(settings)
}

/// The settings of the tailored kernel.
///
/// # Panics
/// Never: a test reads the same text.
pub fn tailored() -> Vec<Setting<'static>> {
    parse(LCOW_CONFIG).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Option and value of a line of a `.config`.
fn setting(line: &str) -> Option<(&str, Option<&str>)> {
    if let Some(option) = line.strip_prefix("# ").and_then(|line| line.strip_suffix(" is not set")) {
        return option.starts_with("CONFIG_").then_some((option, None));
    }
    let (option, value) = line.split_once('=').filter(|(option, _)| option.starts_with("CONFIG_"))?;
    Some((option, Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn our_own_configuration_is_well_formed() {
        let settings = parse(LCOW_CONFIG).unwrap();
        let mut seen = BTreeSet::new();
        for setting in &settings {
            assert!(seen.insert(setting.option), "{} is there twice", setting.option);
            assert_eq!(setting.value.is_none(), setting.level == Level::Off, "{}", setting.option);
            assert!(setting.value != Some("m"), "{}: nothing is a module", setting.option);
        }
        let level = |option| settings.iter().find(|s| s.option == option).map(|s| s.level);
        assert_eq!(level("CONFIG_HYPERV_VSOCKETS"), Some(Level::Required));
        assert_eq!(level("CONFIG_BLK_DEV_PMEM"), Some(Level::Wanted));
    }

    #[test]
    fn groups_give_level_and_reason() {
        let text = "# words\n\n#% wanted: time: exact\nCONFIG_A=y\n#% off: never\n# CONFIG_B is not set\n";
        let settings = parse(text).unwrap();
        let [a, b] = settings[..] else { panic!("{settings:?}") };
        assert_eq!(
            (a.option, a.value, a.level, a.reason),
            ("CONFIG_A", Some("y"), Level::Wanted, "time: exact")
        );
        assert_eq!((b.option, b.value, b.level), ("CONFIG_B", None, Level::Off));
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, line) in [
            ("CONFIG_A=y\n", 1),
            ("#% wanted: x\nCONFIG A=y\n", 2),
            ("#% nice: x\n", 1),
            ("#% wanted\n", 1),
            ("#wanted: x\n", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
