//! What `run` refuses to start with, and what it says.

use std::{fs, os::unix::process::ExitStatusExt, path::Path};

use lanyard_protocol::control::Admitted;

use crate::sandbox::{Sandbox, ordinary, shown, text};

/// A 32-bit program that ends with status 42: `mov eax, 1; mov ebx, 42; int 0x80`.
#[cfg(target_arch = "x86_64")]
fn thirty_two_bit() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const CODE: [u8; 12] = [0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80];
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    let halves = |file: &mut Vec<u8>, values: &[u16]| {
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    let words = |file: &mut Vec<u8>, values: &[u32]| {
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    halves(&mut file, &[2, 3]);
    words(&mut file, &[1, BASE + 84, 52, 0, 0]);
    halves(&mut file, &[52, 32, 1, 0, 0, 0]);
    words(&mut file, &[1, 0, BASE, BASE, 96, 96, 5, 0x1000]);
    file.extend(CODE);
    file
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_program_is_refused_as_the_command_and_ended_as_a_child() {
    let sandbox = Sandbox::enforced(ordinary());
    let source = sandbox.write("home/work/project/source", thirty_two_bit());
    let program = sandbox.project().join("short");
    let made = std::process::Command::new("install")
        .args(["-m755", shown(&source), shown(&program)])
        .status();
    assert!(made.unwrap().success());
    // A kernel without 32-bit programs does not start it either.
    let runs_here = match sandbox.outside(&["./short"]).status() {
        Ok(status) => status.code() == Some(42),
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::ENOEXEC));
            false
        }
    };
    let output = sandbox.inside(&["./short"]).output().unwrap();
    assert_eq!(output.status.code(), Some(126));
    let expected = format!(
        "error: {} is a 32-bit program, and such programs cannot be confined\nhint: use a 64-bit build of it\n",
        program.display()
    );
    assert_eq!(text(&output.stderr), expected);
    let child = sandbox.perl("print system('./short')");
    let expected = if runs_here { libc::SIGSYS } else { -1 };
    assert_eq!(child.parse::<i32>().unwrap() & !0x80, expected & !0x80);
}

fn refused(sandbox: &Sandbox, folder: &Path, flags: &[&str]) -> String {
    let output = sandbox
        .inside_with(flags, &["echo", "ran"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr).to_owned()
}

#[test]
fn a_home_folder_or_above_is_no_project() {
    let sandbox = Sandbox::enforced(ordinary());
    for folder in [
        Path::new("/"),
        &sandbox.at("home"),
        &sandbox.at(""),
        Path::new("/proc/self"),
    ] {
        let told = refused(&sandbox, folder, &[]);
        assert!(told.starts_with("error: the current folder is /"), "{told}");
        assert!(
            told.contains("hint: change into the folder of one project"),
            "{told}"
        );
    }
    let home = sandbox.at("home");
    let told = refused(
        &sandbox,
        &sandbox.project(),
        &["--allow-path", shown(&home)],
    );
    assert!(told.contains("start-up files"), "{told}");
    let told = refused(
        &sandbox,
        &sandbox.project(),
        &["--allow-path", "/absent/path"],
    );
    assert!(told.contains("does not exist"), "{told}");
    assert!(sandbox.shell("true").status.success());
}

#[test]
fn a_kernel_with_less_than_the_policy_demands_is_refused() {
    let sandbox = Sandbox::new(
        ordinary(),
        Admitted {
            minimum_landlock: 99,
            ..Admitted::default()
        },
    );
    let told = refused(&sandbox, &sandbox.project(), &[]);
    assert!(
        told.starts_with("error: the local policy demands Landlock ABI 99"),
        "{told}"
    );
    let sandbox = Sandbox::new(
        ordinary(),
        Admitted {
            minimum_landlock: 1,
            ..Admitted::default()
        },
    );
    assert!(sandbox.shell("true").status.success());
}

#[test]
fn a_folder_that_cannot_be_written_is_a_project_without_temporary_files() {
    let sandbox = Sandbox::enforced(ordinary());
    let output = sandbox
        .inside(&["sh", "-c", "echo ${TMPDIR-unset}"])
        .current_dir("/usr")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "unset\n");
    assert!(
        text(&output.stderr).starts_with("warning: you cannot write"),
        "{output:?}"
    );
    assert!(!fs::exists("/usr/.lanyard-tmp").unwrap());
}

#[test]
fn status_and_signal_of_the_command_are_its_own() {
    let sandbox = Sandbox::enforced(ordinary());
    assert_eq!(sandbox.shell("exit 42").status.code(), Some(42));
    assert_eq!(sandbox.shell("kill -TERM $$").status.signal(), Some(15));
}
