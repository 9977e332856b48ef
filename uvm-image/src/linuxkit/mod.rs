//! `uvm-build build`: boot files from LinuxKit descriptions.
//!
//! The way through: [`node`] reads YAML, [`validate`] holds it against [`schema`], [`load`] merges the files into a
//! [`config::Description`].

pub mod capabilities;
pub mod config;
pub mod container;
pub mod ids;
pub mod load;
pub mod mounts;
pub mod node;
pub mod package;
pub mod schema;
pub mod spec;
pub mod validate;
