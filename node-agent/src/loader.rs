//! Variables of the environment that change which code a program loads.
//!
//! Beside these, every name that begins with `LD_` counts (ld.so(8)). What merely changes how a program speaks,
//! such as `PYTHONUNBUFFERED`, is not in here: it would lower what is known of ordinary programs.

use lanyard_node_agent_abi::event::{LOADER_NAME, evidence};

/// Each with the program that reads it; the place is its bit in the kernel's events.
pub const VARIABLES: [&str; 40] = [
    // The C library: modules for character sets, tunables.
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    // Node.js
    "NODE_OPTIONS",
    "NODE_PATH",
    // Python
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "PYTHONUSERBASE",
    "PYTHONINSPECT",
    "PYTHONBREAKPOINT",
    "PYTHONWARNINGS",
    "PYTHONPLATLIBDIR",
    "PYTHONEXECUTABLE",
    // Java
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    // Ruby
    "RUBYOPT",
    "RUBYLIB",
    // Perl
    "PERL5OPT",
    "PERL5LIB",
    "PERLLIB",
    "PERL5DB",
    // Shells that read a file at their start
    "BASH_ENV",
    "ENV",
    // OpenSSL: a configuration may name engines and providers.
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "OPENSSL_ENGINES",
    // git: programs that it starts
    "GIT_SSH_COMMAND",
    "GIT_SSH",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PROXY_COMMAND",
    // Lua
    "LUA_PATH",
    "LUA_CPATH",
    "LUA_INIT",
    // PHP
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    // .NET
    "DOTNET_STARTUP_HOOKS",
    // curl: a configuration file
    "CURL_HOME",
];

/// A name as the kernel's table keeps it.
pub fn key_of(name: &str) -> [u8; LOADER_NAME] {
    let mut key = [0; LOADER_NAME];
    for (place, byte) in key.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    key
}

/// The names that an event's bits stand for.
pub fn names(bits: u64) -> Vec<&'static str> {
    let numbered = VARIABLES.iter().enumerate();
    let named = numbered.filter(|(number, _)| bits & (1 << number) != 0);
    let prefix = (bits & evidence::LOADER_PREFIX != 0).then_some("LD_*");
    prefix
        .into_iter()
        .chain(named.map(|(_, name)| *name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_fits_the_kernels_table_and_stands_once() {
        let mut known = std::collections::BTreeSet::new();
        for name in VARIABLES {
            assert!(name.len() < LOADER_NAME, "{name}");
            assert!(!name.starts_with("LD_"), "{name} counts already");
            assert!(known.insert(name), "{name} stands twice");
        }
    }

    #[test]
    fn bits_are_named_again() {
        assert_eq!(names(1 << 2), ["NODE_OPTIONS"]);
        assert_eq!(names(evidence::LOADER_PREFIX | 1), ["LD_*", "GCONV_PATH"]);
        assert!(names(0).is_empty());
    }
}
