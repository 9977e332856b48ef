//! `uvm-build build`: boot files from LinuxKit descriptions.
//!
//! The way through: [`node`] reads YAML, [`validate`] holds it against [`schema`], [`load`] merges the files into a
//! [`config::Description`]; [`images`] finds its images, [`assemble`] writes all their files to one [`stream`], with
//! [`spec`] and [`runtime`] for its containers; [`native`] makes LinuxKit's outputs of that.

mod archive;
pub mod assemble;
pub mod attestation;
pub mod build;
pub mod capabilities;
pub mod config;
pub mod container;
pub mod cpio;
pub mod files;
pub mod flatten;
pub mod ids;
pub mod images;
mod json;
pub mod kernel;
pub mod load;
pub mod mounts;
pub mod names;
pub mod native;
pub mod node;
pub mod package;
pub mod paths;
pub mod places;
pub mod product;
pub mod ready;
pub mod runtime;
pub mod schema;
pub mod spec;
pub mod stream;
pub mod unpack;
pub mod validate;
pub mod volumes;

#[cfg(test)]
mod tests;
