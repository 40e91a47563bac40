//! A program in a scope that is spoken with, a line at a time.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    peers,
    scenes::{Stage, USER},
};

/// The program, ended when this is dropped.
pub struct Dialogue {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Dialogue {
    /// Starts it. What it says of errors goes where the test's goes.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("it has a stdout")?;
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
        })
    }

    /// Starts a script of `peers/python` in a scope of its own, with the packages of the peers.
    pub fn with_peer(stage: &Stage, agent: &str, name: &str, arguments: &[&str]) -> Result<Self> {
        let python = peers::python()?.display().to_string();
        let text = peers::file(&format!("python/{name}"))?;
        let script = stage.lab.write(&format!("programs/{name}"), text)?;
        let script = script.display().to_string();
        let command: Vec<&str> = [python.as_str(), &script]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        Self::start(&mut stage.lanyard.run_as(agent, Some(USER), &command))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Says a line to it.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("it is still spoken to")?;
        writeln!(input, "{line}").context("speak to a program")
    }

    /// The next line that it says, or nothing once it has ended.
    pub fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("hear a program")?;
        Ok(line.trim_end().to_owned())
    }

    /// What it answers to a line.
    pub fn ask(&mut self, line: &str) -> Result<String> {
        self.say(line)?;
        self.hear()
    }

    /// Says no more to it, and waits for its end.
    pub fn end(mut self) -> Result<ExitStatus> {
        drop(self.input.take());
        self.process.wait().context("wait for a program")
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
