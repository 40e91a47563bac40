//! Compiles the messages; no `protoc` is needed.

use std::{
    io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let folder = PathBuf::from("proto");
    let mut config = prost_build::Config::new();
    config.skip_debug([
        ".lanyard.broker.v1.Secret",
        ".lanyard.broker.v1.Answer",
        ".lanyard.broker.v1.FromAgent",
    ]);
    compile(&folder, &["control.proto", "broker.proto"], &mut config)?;
    let mut config = prost_build::Config::new();
    config.extern_path(".lanyard.broker.v1", "crate::broker");
    with_services(&mut config);
    compile(&folder, &["nodes.proto"], &mut config)
}

fn compile(folder: &Path, names: &[&str], config: &mut prost_build::Config) -> io::Result<()> {
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [folder]).map_err(io::Error::other)?;
    config.compile_fds(descriptors)
}

#[cfg(feature = "grpc")]
fn with_services(config: &mut prost_build::Config) {
    let services = tonic_prost_build::configure().build_transport(false);
    config.service_generator(services.service_generator());
}

#[cfg(not(feature = "grpc"))]
fn with_services(_: &mut prost_build::Config) {}
