//! Compiles the messages; no `protoc` is needed.

use std::{io, path::PathBuf};

fn main() -> io::Result<()> {
    let folder = PathBuf::from("proto");
    let files = ["control.proto", "broker.proto"].map(|name| folder.join(name));
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [&folder]).map_err(io::Error::other)?;
    prost_build::Config::new()
        .skip_debug([
            ".lanyard.broker.v1.Secret",
            ".lanyard.broker.v1.Answer",
            ".lanyard.broker.v1.FromAgent",
        ])
        .compile_fds(descriptors)
}
