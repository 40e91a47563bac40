//! The operator.

use std::time::Instant;

use clap::Parser as _;
use jiff::Timestamp;
use lanyard_daemon::log;
use lanyard_operator::{args::Args, decide::input::Moment, run::run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    log::start(&args.log)?;
    run(args, clock).await
}

/// The one place that reads the clocks.
#[expect(clippy::disallowed_methods, reason = "the outermost loop")]
fn clock() -> Moment {
    Moment::new(Timestamp::now(), Instant::now())
}
