//! Flags of `tar2ext4` with one dash or two, as scripts have them.
use std::ffi::OsString;

/// The command line with the flags of `disk tar2ext4` in the form that the parser knows: `-overlay` becomes `--overlay`,
/// `--i` becomes `-i`. Everything else stays as it is.
pub(crate) fn normalised(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let arguments: Vec<OsString> = arguments.collect();
    let is_tar2ext4 = arguments.get(1).is_some_and(|word| word == "disk")
        && arguments.get(2).is_some_and(|word| word == "tar2ext4");
    if !is_tar2ext4 {
        return arguments;
    }
    let mut ended = false;
    let mut change = |argument: OsString| {
        ended |= argument == "--";
        match argument.to_str() {
            Some(text) if !ended => normal(text).into(),
            _ => argument,
        }
    };
    arguments.into_iter().map(&mut change).collect()
}

fn normal(argument: &str) -> String {
    let name = argument.trim_start_matches('-');
    let dashes = argument.len() - name.len();
    let length = name.find('=').unwrap_or(name.len());
    match (dashes, length) {
        (1, 2..) => format!("-{argument}"),
        (2, 1) => argument[1..].to_owned(),
        _ => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> String {
        let words = normalised(line.split(' ').map(OsString::from));
        words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        let line = of("uvm-build disk tar2ext4 -i a.tar --o=b -overlay --vhd -only-vhd=false - -- -x");
        assert_eq!(line, "uvm-build disk tar2ext4 -i a.tar -o=b --overlay --vhd --only-vhd=false - -- -x");
        assert_eq!(of("uvm-build default -output x"), "uvm-build default -output x");
    }
}
