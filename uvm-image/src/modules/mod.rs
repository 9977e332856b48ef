//! Which modules a utility VM needs of a kernel, and in which order they are loaded.

pub mod builtin;
pub mod closure;
pub mod index;
pub mod lists;
pub mod modinfo;
pub mod table;

/// A module's name as the kernel shows it: the file's name without directory and `.ko`, with `_` for `-`.
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normalise(file.split(".ko").next().unwrap_or(file))
}

/// Whether `path` is that of an uncompressed module.
pub fn is_module(path: &str) -> bool {
    path.strip_suffix(".ko").is_some()
}

/// `-` and `_` mean the same in names and aliases of modules.
pub fn normalise(name: &str) -> String {
    name.replace('-', "_")
}
