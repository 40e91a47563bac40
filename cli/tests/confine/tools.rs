//! What developers use works in a project.

use std::{env, process::Command};

use crate::sandbox::{Sandbox, found, ordinary, text, users};

/// Runs a script inside, which must succeed.
fn works(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout).to_owned()
}

fn script(user: u32, tool: &str, script: &str) -> String {
    found(tool);
    let sandbox = Sandbox::enforced(user);
    works(&mut sandbox.inside(&["sh", "-ec", script]))
}

#[test]
fn git_commits() {
    for user in users() {
        let log = script(
            user,
            "git",
            "git init -q . && git config user.name Ann && git config user.email ann@example.com && \
             echo x > f && git add . && git commit -qm first && git gc -q && git worktree add -q tree && git log --oneline",
        );
        assert!(log.contains("first"), "{log}");
    }
}

#[test]
fn gcc_compiles_and_what_it_made_runs() {
    for user in users() {
        let printed = script(
            user,
            "gcc",
            "echo 'int main(void) { return 3; }' > a.c && gcc a.c -o a && ./a || echo $?",
        );
        assert_eq!(printed, "3\n");
    }
}

#[test]
fn node_reads_its_modules_and_writes_into_the_project() {
    for user in users() {
        let printed = script(
            user,
            "node",
            "mkdir -p node_modules/dep && echo 'module.exports = 7' > node_modules/dep/index.js && \
             node -e \"console.log(require('dep')); require('fs').writeFileSync('out', 'x')\"",
        );
        assert_eq!(printed, "7\n");
    }
}

#[test]
fn python_makes_an_environment() {
    for user in users() {
        let printed = script(
            user,
            "python3",
            "python3 -m venv env && env/bin/python -c 'import tempfile, subprocess; tempfile.mkstemp(); print(subprocess.check_output([\"echo\", \"hi\"]))' && env/bin/pip --version > /dev/null",
        );
        assert_eq!(printed, "b'hi\\n'\n");
    }
}

/// The toolchain of whoever runs this, in that user's own home folder.
#[test]
fn cargo_builds_and_tests_offline() {
    found("cargo");
    let own = users()[0];
    let sandbox = Sandbox::enforced(own);
    let mut command = sandbox.inside(&[
        "sh",
        "-ec",
        "cargo init -q --vcs none --name m . && cargo build -q --offline && ./target/debug/m && cargo test -q --offline > /dev/null",
    ]);
    command.env("HOME", env::var_os("HOME").unwrap());
    for name in ["RUSTUP_HOME", "CARGO_HOME"] {
        if let Some(folder) = env::var_os(name) {
            command.env(name, folder);
        }
    }
    assert_eq!(works(&mut command), "Hello, world!\n");
}

#[test]
fn a_command_outside_every_readable_folder_is_executed() {
    let sandbox = Sandbox::enforced(ordinary());
    let program = sandbox.at("outside/tool");
    let made = Command::new("install")
        .args(["-m755", "/usr/bin/true"])
        .arg(&program)
        .status();
    assert!(made.unwrap().success());
    assert!(works(&mut sandbox.inside(&[program.to_str().unwrap()])).is_empty());
    let other = format!("! {} 2>/dev/null", program.display());
    works(&mut sandbox.inside(&["sh", "-c", &other]));
}
