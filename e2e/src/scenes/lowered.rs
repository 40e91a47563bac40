//! The listed file with something else inside is known less well, and that is shown: a grant that demands
//! `Image` is not for it.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{Evidence, Stage, USER};
use crate::{
    lab,
    manifest::{DirectGrant, Identity},
    service,
};

/// A library of one's own in a listed program.
pub fn preloaded_library_lowers_the_level(stage: &Stage) -> Result<Evidence> {
    let source = stage.lab.write(
        "programs/evil.c",
        "__attribute__((constructor)) static void loaded(void) {}\n",
    )?;
    let library = stage.lab.path("programs/evil.so");
    lab::run(
        Command::new("gcc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source]),
    )?;
    let url = stage.plain_url("/");
    let arguments = ["--max-time", "15", url.as_str()];
    let clean = stage.curl(&arguments).output()?;
    let loaded = stage
        .curl(&arguments)
        .env("LD_PRELOAD", &library)
        .output()?;
    let explained = stage.lanyard.explain_last("LoaderVariables")?;
    ensure!(clean.status.success(), "without it: {clean:?}");
    ensure!(
        !loaded.status.success() && loaded.stdout.is_empty(),
        "with it: {loaded:?}"
    );
    Ok(vec![
        "curl gets through; with LD_PRELOAD it is at a lower level, and refused:".to_owned(),
        format!("    {}", String::from_utf8_lossy(&loaded.stderr).trim()),
        format!(
            "    explain: {}",
            explained.lines().next().unwrap_or_default()
        ),
    ])
}

/// An interpreter that is listed for a script. In a folder of root's the script counts; where the agent's user
/// can write, another content can stand there by the time it is read.
pub fn swapped_script_lowers_the_level(stage: &Stage) -> Result<Evidence> {
    const SCRIPT: &str = "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1], timeout=15).status, flush=True)\n";
    let kept = stage.lab.write("programs/kept.py", SCRIPT)?;
    let own = stage.lanyard.project(Some(USER)).join("own.py");
    std::fs::write(&own, SCRIPT)?;
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755))?;
    lab::run(Command::new("chown").arg(USER).arg(&own))?;
    let identity = Identity::named("scripted")
        .script("kept", &stage.python, &kept)?
        .script("own", &stage.python, &own)?;
    stage
        .lab
        .write("manifests/scripted.yaml", identity.yaml())?;
    let grant = DirectGrant {
        name: "scripted-plain",
        agent: "scripted",
        requires: "Image",
        host: &stage.lab.address(),
        port: service::PLAIN_PORT,
        protocol: "TCP",
        duration: "1h",
    };
    stage
        .lab
        .write("manifests/scripted-plain.yaml", grant.yaml())?;
    stage.lanyard.until_live("default/scripted-plain")?;
    let run = |script: &PathBuf| {
        let (python, script) = (
            stage.python.display().to_string(),
            script.display().to_string(),
        );
        let command = [python.as_str(), script.as_str(), &stage.plain_url("/")];
        stage
            .lanyard
            .run_as("scripted", Some(USER), &command)
            .output()
    };
    let honest = run(&kept)?;
    ensure!(
        honest.stdout == b"200\n",
        "the kept script: {honest:?} {}",
        stage.lanyard.daemon_log()
    );
    let swappable = run(&own)?;
    ensure!(swappable.stdout.is_empty(), "its own script: {swappable:?}");
    let explained = stage
        .lanyard
        .explain_last("ScriptWritable")
        .with_context(|| format!("{swappable:?}"))?;
    Ok(vec![
        "a listed script that only root can change gets through".to_owned(),
        "the same script where the agent's user can change it is known less well, and refused:"
            .to_owned(),
        format!(
            "    explain: {}",
            explained.lines().next().unwrap_or_default()
        ),
    ])
}
