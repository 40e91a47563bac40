//! What of a home folder an agent does not get to read: start-up files, credentials, and what
//! browsers, mail programs and other agents keep.
//!
//! Paths are relative to the home folder. A name may begin or end with `*`; what is below a
//! withheld folder is withheld.

use std::path::{Component, Path};

/// Read by a shell or a session when it starts; they often hold exported secrets.
const START_UP: &[&str] = &[
    ".bashrc",
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".zlogout",
    ".kshrc",
    ".mkshrc",
    ".cshrc",
    ".tcshrc",
    ".login",
    ".logout",
    ".config/fish",
    ".config/nushell",
    ".config/zsh",
    ".config/environment.d",
    ".config/autostart",
    ".config/systemd",
    ".config/direnv",
    ".config/plasma-workspace",
    ".pam_environment",
    ".inputrc",
    ".env",
    ".envrc",
    ".xinitrc",
    ".xprofile",
    ".xsession*",
    ".xsessionrc",
    ".Xauthority",
    ".ICEauthority",
];

/// Keys, tokens and passwords.
const CREDENTIALS: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".pki",
    ".age",
    ".aws",
    ".azure",
    ".boto",
    ".oci",
    ".s3cfg",
    ".bluemix",
    ".kube",
    ".minikube",
    ".helm",
    ".docker",
    ".podman",
    ".netrc",
    "_netrc",
    ".authinfo*",
    ".git-credentials",
    ".git-credential-cache",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".mylogin.cnf",
    ".vault-token",
    ".terraformrc",
    ".terraform.d",
    ".pulumi",
    ".password-store",
    ".lpass",
    ".krb5",
    ".k5login",
    ".smbcredentials",
    ".cargo/credentials*",
    ".gem/credentials",
    ".composer/auth.json",
    ".m2/settings*",
    ".gradle/gradle.properties",
    ".sbt/*credentials",
    ".ivy2/*credentials",
    ".nuget/NuGet",
    ".config/NuGet",
    ".config/composer",
    ".config/gh",
    ".config/glab-cli",
    ".config/hub",
    ".config/git/credentials",
    ".config/gcloud",
    ".config/doctl",
    ".config/flyctl",
    ".fly",
    ".config/configstore",
    ".config/containers",
    ".config/helm",
    ".config/rclone",
    ".config/sops",
    ".config/age",
    ".config/op",
    ".config/1Password*",
    ".config/Bitwarden*",
    ".config/keepassxc",
    ".config/wrangler",
    ".config/stripe",
    ".config/heroku",
    ".config/netlify",
    ".config/vercel",
    ".config/turso",
    ".config/pulse",
    ".wrangler",
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".local/share/com.vercel.cli",
    ".local/share/containers",
    ".local/share/pki",
    ".local/share/atuin",
    ".local/state/gh",
    ".1password",
];

/// What people typed and read.
const PEOPLE: &[&str] = &[
    ".*_history",
    ".history",
    ".bash_sessions",
    ".zsh_sessions",
    ".lesshst",
    ".viminfo",
    ".wget-hsts",
    ".local/share/recently-used*",
    ".mozilla",
    ".thunderbird",
    ".config/google-chrome*",
    ".config/chromium*",
    ".config/BraveSoftware",
    ".config/microsoft-edge*",
    ".config/vivaldi*",
    ".config/opera*",
    ".config/Slack",
    ".config/discord*",
    ".config/Signal",
    ".config/Element",
    ".config/evolution",
    ".local/share/evolution",
    ".local/share/TelegramDesktop",
    ".cache/mozilla",
    ".cache/thunderbird",
    ".cache/google-chrome*",
    ".cache/chromium*",
    ".cache/BraveSoftware",
    ".cache/microsoft-edge*",
    ".cache/keyring*",
    ".cache/evolution",
    ".var",
    "snap",
    ".config/Code*",
    ".config/VSCodium",
    ".vscode-server/data",
    "Mail",
    "Maildir",
    "mail",
];

/// What agents keep: their tokens, and what other sessions said.
const AGENTS: &[&str] = &[
    ".claude*",
    ".config/claude*",
    ".config/Claude*",
    ".codex",
    ".gemini",
    ".aider*",
    ".cursor*",
    ".config/Cursor",
    ".windsurf",
    ".codeium",
    ".copilot",
    ".config/github-copilot",
    ".continue",
    ".cline",
    ".roo",
    ".goose",
    ".config/goose",
    ".local/share/goose",
    ".config/opencode",
    ".local/share/opencode",
    ".local/state/opencode",
    ".amp",
    ".config/amp",
    ".local/share/amp",
    ".qwen",
    ".kiro",
    ".amazonq",
    ".local/share/amazon-q",
    ".openhands",
    ".ollama",
    ".lanyard*",
];

/// Configuration that is withheld when a secret stands in it.
const SOMETIMES: &[&str] = &[
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".bunfig.toml",
    ".pip/pip.conf",
    ".config/pip/pip.conf",
    ".config/uv/uv.toml",
    ".condarc",
    ".gitconfig",
    ".config/git/config",
    ".cargo/config",
    ".cargo/config.toml",
    ".wgetrc",
    ".curlrc",
];

/// What of `/etc` file modes keep from everybody but root, and so not from an agent of root.
const OF_ROOT: &[&str] = &[
    "shadow*",
    "gshadow*",
    "sudoers*",
    "security/opasswd",
    "ssh",
    "ssl/private",
    "pki/tls/private",
    "letsencrypt",
    "krb5.keytab",
    "kubernetes",
    "rancher",
    "docker",
    "wireguard",
    "openvpn",
    "NetworkManager/system-connections",
    "lanyard",
];

/// Words that a secret stands behind in one of [`SOMETIMES`].
const SECRET_WORDS: [&str; 6] = [
    "_auth",
    "authtoken",
    "_password",
    "password=",
    "extraheader",
    "authorization:",
];

/// Whether a path is withheld, or is in a folder that is.
pub(crate) fn is_withheld(relative: &Path) -> bool {
    lists().any(|pattern| stands_for(pattern, relative))
}

/// Whether something below this folder is withheld, so that its entries are told apart.
pub(crate) fn is_told_apart(relative: &Path) -> bool {
    lists()
        .chain(SOMETIMES.iter().copied())
        .any(|pattern| Path::new(pattern) != relative && Path::new(pattern).starts_with(relative))
}

/// Whether a path in `/etc` is root's alone, or is in a folder that is.
pub(crate) fn is_roots(relative: &Path) -> bool {
    OF_ROOT.iter().any(|pattern| stands_for(pattern, relative))
}

/// Whether something below this folder of `/etc` is root's alone.
pub(crate) fn is_told_apart_for_root(relative: &Path) -> bool {
    OF_ROOT
        .iter()
        .any(|pattern| Path::new(pattern) != relative && Path::new(pattern).starts_with(relative))
}

/// Whether a secret may stand in this file.
pub(crate) fn may_hold_secret(relative: &Path) -> bool {
    SOMETIMES.iter().any(|path| Path::new(path) == relative)
}

/// Whether a secret stands in the text of such a file: a word for one, or an address with a
/// password.
pub(crate) fn holds_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    let addresses = text.split("://").skip(1);
    let with_password = |address: &str| {
        let end = address.find(['/', '"', '\'', '\n', ' ']);
        let authority = &address[..end.unwrap_or(address.len())];
        authority.contains('@')
    };
    SECRET_WORDS.iter().any(|word| text.contains(word)) || addresses.into_iter().any(with_password)
}

fn lists() -> impl Iterator<Item = &'static str> {
    [START_UP, CREDENTIALS, PEOPLE, AGENTS]
        .into_iter()
        .flatten()
        .copied()
}

/// Whether a pattern names this path or a folder above it.
fn stands_for(pattern: &str, path: &Path) -> bool {
    let mut names = path.components();
    Path::new(pattern)
        .components()
        .all(|part| names.next().is_some_and(|name| is_named(part, name)))
}

fn is_named(pattern: Component<'_>, name: Component<'_>) -> bool {
    let pattern = pattern.as_os_str().to_string_lossy();
    let name = name.as_os_str().to_string_lossy();
    match pattern.split_once('*') {
        Some((before, after)) => {
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        }
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_up_files_credentials_and_other_agents_state_are_withheld() {
        for path in [
            ".bashrc",
            ".ssh",
            ".ssh/id_ed25519",
            ".config/gh/hosts.yml",
            ".cargo/credentials.toml",
            ".claude.json",
            ".python_history",
            ".sbt/.credentials",
        ] {
            assert!(is_withheld(Path::new(path)), "{path}");
        }
        for path in [
            "work",
            ".cargo",
            ".cargo/bin",
            ".config",
            ".config/nvim",
            ".sshd",
            "history",
        ] {
            assert!(!is_withheld(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_folder_with_something_withheld_below_is_told_apart() {
        for path in [".config", ".cargo", ".local", ".local/share", ".config/git"] {
            assert!(is_told_apart(Path::new(path)), "{path}");
        }
        for path in [".ssh", "work", ".config/nvim", ".rustup"] {
            assert!(!is_told_apart(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn of_the_machines_configuration_keys_are_roots_alone() {
        for path in [
            "shadow",
            "shadow-",
            "ssh/ssh_host_rsa_key",
            "ssl/private/key.pem",
        ] {
            assert!(is_roots(Path::new(path)), "{path}");
        }
        for path in ["passwd", "ssl/certs", "alternatives"] {
            assert!(!is_roots(Path::new(path)), "{path}");
        }
        assert!(is_told_apart_for_root(Path::new("ssl")));
        assert!(!is_told_apart_for_root(Path::new("alternatives")));
    }

    #[test]
    fn configuration_is_withheld_only_with_a_secret_in_it() {
        assert!(may_hold_secret(Path::new(".npmrc")));
        assert!(!may_hold_secret(Path::new("work/.npmrc")));
        for text in [
            "//registry.npmjs.org/:_authToken=abc",
            "index-url = https://ann:secret@pypi.example/simple",
            "[url \"https://token@github.com/\"]",
            "extraHeader = Authorization: Basic abc",
        ] {
            assert!(holds_secret(text), "{text}");
        }
        for text in [
            "registry=https://registry.npmjs.org/",
            "[user]\n email = ann@example.com\n[url \"https://github.com/\"] x = git@github.com:",
            "[credential \"https://source.example\"]\n helper = gcloud.sh",
        ] {
            assert!(!holds_secret(text), "{text}");
        }
    }
}
