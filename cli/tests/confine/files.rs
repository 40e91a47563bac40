//! Which files an agent reads and writes.

use std::{fs, os::unix::fs::symlink};

use lanyard_protocol::control::{Admitted, Variable};

use crate::sandbox::{Sandbox, ordinary, printed, shown, text, users};

/// Whether a shell succeeds inside.
fn can(sandbox: &Sandbox, script: &str) -> bool {
    sandbox.shell(script).status.success()
}

#[test]
fn the_project_is_written_and_the_home_folder_is_not() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        sandbox.write("home/.bashrc", "export TOKEN=secret\n");
        sandbox.write("home/work/other/file", "other\n");
        assert!(can(
            &sandbox,
            "mkdir d && echo x > d/f && mv d/f g && ln g h && rm g h"
        ));
        assert!(can(&sandbox, "cat ~/work/other/file"));
        for refused in [
            "echo evil >> ~/.bashrc",
            "cat ~/.bashrc",
            "mv ~/.bashrc ~/work/project/",
            "ln ~/.bashrc ~/work/project/",
            "rm ~/.bashrc",
            "echo evil > ~/.profile",
            "mkdir ~/.config",
            "echo x >> ~/work/other/file",
            ": > ~/work/other/file",
            "ls ~",
        ] {
            assert!(!can(&sandbox, refused), "uid {user}: {refused}");
        }
        let kept = fs::read_to_string(sandbox.at("home/.bashrc")).unwrap();
        assert_eq!(kept, "export TOKEN=secret\n");
        assert!(!sandbox.at("home/.profile").exists());
        let outside = sandbox
            .outside(&["sh", "-c", "cat ~/.bashrc && ls ~ && echo x > ~/.profile"])
            .status();
        assert!(outside.unwrap().success(), "uid {user}: the other side");
    }
}

#[test]
fn credentials_and_other_agents_state_are_not_read_and_configuration_is() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        let secrets = [
            ".ssh/id_ed25519",
            ".aws/credentials",
            ".config/gh/hosts.yml",
            ".cargo/credentials.toml",
            ".claude/history.jsonl",
            ".local/share/keyrings/login",
            ".bash_history",
        ];
        for path in secrets {
            sandbox.write(&format!("home/{path}"), "secret");
        }
        sandbox.write("home/.npmrc", "//registry/:_authToken=secret");
        for path in [".config/nvim/init.lua", ".cargo/config.toml", ".gitconfig"] {
            sandbox.write(&format!("home/{path}"), "");
            assert!(
                can(&sandbox, &format!("cat ~/{path}")),
                "uid {user}: {path}"
            );
        }
        symlink(sandbox.at("home/.ssh"), sandbox.at("home/keys")).unwrap();
        symlink(
            sandbox.at("home/.ssh"),
            sandbox.at("home/work/project/keys"),
        )
        .unwrap();
        for path in secrets.iter().copied().chain([
            ".npmrc",
            "keys/id_ed25519",
            "work/project/keys/id_ed25519",
        ]) {
            let file = sandbox.at("home").join(path);
            assert_eq!(
                printed(&mut sandbox.outside(&["head", "-c2", shown(&file)])).len(),
                2
            );
            assert!(
                !can(&sandbox, &format!("cat ~/{path}")),
                "uid {user}: {path}"
            );
        }
    }
}

#[test]
fn the_machine_is_read_and_not_written() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        assert!(can(
            &sandbox,
            "cat /etc/passwd /proc/self/status > /dev/null 2>/dev/tty || cat /etc/passwd > /dev/null"
        ));
        assert!(can(
            &sandbox,
            "ls /usr /etc /dev /proc > /dev/null && head -c1 /dev/urandom"
        ));
        let outside = sandbox.at("outside");
        let file = sandbox.write("outside/file", "x");
        let outside = shown(&outside);
        for refused in [
            "echo x > /etc/lanyard-test".to_owned(),
            "cat /etc/shadow".to_owned(),
            "echo x > /tmp/lanyard-test".to_owned(),
            "echo x > /dev/shm/lanyard-test".to_owned(),
            "echo 0 > /proc/self/oom_score_adj".to_owned(),
            format!("echo x > {outside}/new"),
            format!("ls {outside}"),
            format!("cat {}", file.display()),
        ] {
            assert!(!can(&sandbox, &refused), "uid {user}: {refused}");
        }
    }
}

#[test]
fn root_makes_and_reads_no_device() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        for refused in [
            "mknod disk b 8 0",
            "mknod null c 1 3",
            "head -c1 /dev/kmsg",
            "head -c1 /dev/mem",
        ] {
            assert!(!can(&sandbox, refused), "uid {user}: {refused}");
        }
        assert!(can(&sandbox, "mkfifo pipe"));
        let kept = sandbox.shell("grep CapEff /proc/self/status");
        let mask = text(&kept.stdout).trim().rsplit('\t').next().unwrap();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        // CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_NET_RAW, CAP_MKNOD.
        assert_eq!(
            mask & (1 << 21 | 1 << 19 | 1 << 13 | 1 << 27),
            0,
            "uid {user}"
        );
        // CAP_DAC_OVERRIDE, which root has and nobody else.
        assert_eq!(mask & 2 != 0, user == 0, "uid {user}");
    }
}

#[test]
fn an_allowed_path_is_written_by_flag_and_by_policy() {
    let sandbox = Sandbox::enforced(ordinary());
    let outside = sandbox.at("outside");
    let script = format!("echo x > {}/new", outside.display());
    let words = ["sh", "-c", &script];
    assert!(!sandbox.inside(&words).status().unwrap().success());
    let flags = ["--allow-path", shown(&outside)];
    assert!(
        sandbox
            .inside_with(&flags, &words)
            .status()
            .unwrap()
            .success()
    );

    let policy = |path: String| {
        let admitted = Admitted {
            allowed_paths: vec![path, "/absent/path".to_owned()],
            ..Admitted::default()
        };
        Sandbox::new(ordinary(), admitted)
    };
    let shared = tempfile::TempDir::new().unwrap();
    std::os::unix::fs::chown(shared.path(), Some(ordinary()), None).unwrap();
    let sandbox = policy(shown(&shared.path()).to_owned());
    assert!(can(
        &sandbox,
        &format!("echo x > {}/new", shared.path().display())
    ));
}

#[test]
fn temporary_files_are_in_the_project_and_not_in_git() {
    let sandbox = Sandbox::enforced(ordinary());
    let output = sandbox
        .shell("echo x > $(mktemp) && echo $TMPDIR && git init -q . && git status --porcelain");
    let expected = sandbox.project().join(".lanyard-tmp");
    assert_eq!(text(&output.stdout).trim(), shown(&expected), "{output:?}");
    // mktemp's file and .gitignore.
    assert_eq!(fs::read_dir(expected).unwrap().count(), 2);
}

#[test]
fn a_link_left_in_place_of_the_temporary_folder_leads_nowhere() {
    let sandbox = Sandbox::enforced(ordinary());
    sandbox.write("home/.ssh/config", "");
    symlink(
        sandbox.at("home/.ssh"),
        sandbox.project().join(".lanyard-tmp"),
    )
    .unwrap();
    let output = sandbox.shell("echo ran");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert!(
        text(&output.stderr).contains(".lanyard-tmp is no folder of yours"),
        "{output:?}"
    );
    assert!(!sandbox.at("home/.ssh/.gitignore").exists());
}

#[test]
fn the_trust_bundle_is_read_wherever_it_is() {
    let bundle = tempfile::TempDir::new().unwrap();
    let file = bundle.path().join("bundle.pem");
    fs::write(&file, "roots").unwrap();
    fs::set_permissions(
        bundle.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let admitted = Admitted {
        variables: vec![Variable {
            name: "SSL_CERT_FILE".into(),
            value: shown(&file).into(),
            own: 0,
        }],
        ..Admitted::default()
    };
    let sandbox = Sandbox::new(ordinary(), admitted);
    assert_eq!(text(&sandbox.shell("cat $SSL_CERT_FILE").stdout), "roots");
    assert!(!can(&sandbox, &format!("ls {}", bundle.path().display())));
}
