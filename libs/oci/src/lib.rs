//! Images: references, layout store, layer streams, image config to runtime spec.
#![forbid(unsafe_code)]
