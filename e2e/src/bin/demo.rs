//! The main job once through, told as a story. Exits with an error if any scene differs.

#![expect(clippy::print_stdout, reason = "a story is told on standard output")]

use std::{process::ExitCode, time::Instant};

use anyhow::Result;
use lanyard_e2e::scenes::{
    Evidence, Stage, coding_agent, entered, granted, lowered, observed, on_time, refused, requests,
    revoked, streamed,
};

fn main() -> ExitCode {
    let started = Instant::now();
    println!("\nLanyard, the main job once through.\n");
    println!(
        "The stage: nginx on a host of its own (a network namespace), which demands a token and logs what"
    );
    println!(
        "arrives; one AgentIdentity that lists a curl and a Python; grants; `lanyard up` on this machine.\n"
    );
    match play() {
        Ok(scenes) => {
            println!(
                "{scenes} scenes, all as they should be, in {} seconds.",
                started.elapsed().as_secs()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("  DIFFERENT: {error:#}\n");
            ExitCode::FAILURE
        }
    }
}

fn play() -> Result<usize> {
    let mut stage = Stage::set()?;
    let mut told = Teller::default();
    told.scene(
        "An unmodified curl, run by an ordinary user, calls the service by name",
        || granted::curl_gets_through(&stage),
    )?;
    told.scene("So does Python, and the token is nowhere in it", || {
        granted::python_never_holds_the_token(&stage)
    })?;
    told.scene(
        "Of a service, only the requests that are granted are carried",
        || requests::unlisted_path_is_refused(&stage),
    )?;
    told.scene(
        "The same curl with one byte changed is not the agent",
        || refused::changed_program_is_refused(&stage),
    )?;
    told.scene(
        "Another host cannot be reached, neither by name nor by address",
        || refused::other_host_is_refused(&stage),
    )?;
    told.scene(
        "The very program that is listed, put into the scope from outside, has no identity",
        || entered::program_from_outside_is_refused(&stage),
    )?;
    told.scene("A preloaded library lowers the level of evidence", || {
        lowered::preloaded_library_lowers_the_level(&stage)
    })?;
    told.scene(
        "So does a script that the agent's own user could swap",
        || lowered::swapped_script_lowers_the_level(&stage),
    )?;
    told.scene(
        "A coding agent works with all of its tools, under `children: Inherit`",
        || coding_agent::whole_tree_works(&stage),
    )?;
    told.scene(
        "An agent is observed, its grants are suggested and applied, and it is fenced",
        || observed::suggested_grants_are_enough(&stage),
    )?;
    // Its ten seconds run while the next scenes are played.
    let stream = streamed::open(&stage)?;
    told.scene("Revoking cuts a download through the broker", || {
        revoked::download_through_the_broker_is_cut(&stage)
    })?;
    told.scene("Revoking cuts a direct connection", || {
        revoked::direct_flow_is_cut(&stage)
    })?;
    told.scene(
        "A stream through the broker, open since before, ends on time with its grant of ten seconds",
        || streamed::ends_on_time(&stage, stream),
    )?;
    told.scene(
        "A grant of ten seconds ends on time with every process of Lanyard dead",
        || on_time::grant_ends_although_everything_was_killed(&mut stage),
    )?;
    told.scene("The explicit end leaves nothing behind", || {
        let left = stage.lanyard.down()?;
        anyhow::ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(vec![
            "`lanyard down --kill`: no program, map, cgroup or socket of this node is left"
                .to_owned(),
        ])
    })?;
    Ok(told.scenes)
}

#[derive(Default)]
struct Teller {
    scenes: usize,
}

impl Teller {
    fn scene(&mut self, title: &str, play: impl FnOnce() -> Result<Evidence>) -> Result<()> {
        self.scenes += 1;
        println!("{}. {title}", self.scenes);
        for line in play()? {
            println!("     {line}");
        }
        println!();
        Ok(())
    }
}
