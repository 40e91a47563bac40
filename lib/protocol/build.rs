//! Compiles the messages; no `protoc` is needed.

use std::{
    io,
    path::{Path, PathBuf},
};

const FOLDER: &str = "proto";

fn main() -> io::Result<()> {
    messages(&["control.proto", "broker.proto"])?;
    #[cfg(feature = "grpc")]
    services::compile(&["csi.proto", "registration.proto"])?;
    with_services(&["nodes.proto"])
}

/// Messages that are of use without the services that carry them.
fn with_services(names: &[&str]) -> io::Result<()> {
    let descriptors = protox::compile(files(names), [FOLDER]).map_err(io::Error::other)?;
    let mut config = prost_build::Config::new();
    config.extern_path(".lanyard.broker.v1", "crate::broker");
    #[cfg(feature = "grpc")]
    {
        let services = tonic_prost_build::configure().build_transport(false);
        config.service_generator(services.service_generator());
    }
    config.compile_fds(descriptors)
}

fn messages(names: &[&str]) -> io::Result<()> {
    let descriptors = protox::compile(files(names), [FOLDER]).map_err(io::Error::other)?;
    prost_build::Config::new()
        .skip_debug([
            ".lanyard.broker.v1.Secret",
            ".lanyard.broker.v1.Answer",
            ".lanyard.broker.v1.FromAgent",
        ])
        .compile_fds(descriptors)
}

fn files(names: &[&str]) -> Vec<PathBuf> {
    let files = names.iter().map(|name| Path::new(FOLDER).join(name));
    files
        .inspect(|file| println!("cargo:rerun-if-changed={}", file.display()))
        .collect()
}

#[cfg(feature = "grpc")]
mod services {
    use std::io;

    use super::{FOLDER, files};

    /// Messages and the gRPC services that carry them.
    pub(super) fn compile(names: &[&str]) -> io::Result<()> {
        let descriptors = protox::compile(files(names), [FOLDER]).map_err(io::Error::other)?;
        tonic_prost_build::configure().compile_fds(descriptors)
    }
}
