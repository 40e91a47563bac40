//! Embeds the kernel programs, which `cargo xtask` builds and names in `LANYARD_BPF_OBJECT`.
//!
//! Without it everything compiles, and the node agent refuses to start and says what to type.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-env-changed=LANYARD_BPF_OBJECT");
    let embedded =
        PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR"))?)
            .join("core.o");
    match env::var_os("LANYARD_BPF_OBJECT").filter(|path| !path.is_empty()) {
        Some(object) => {
            println!(
                "cargo:rerun-if-changed={}",
                PathBuf::from(&object).display()
            );
            fs::copy(&object, embedded).map(drop)
        }
        None => fs::write(embedded, []),
    }
}
